"""What each type of task does: small functions from a payload to a result, and the table that names them.

Results are what MessagePack carries: amounts and instants are strings, ``"12.50"`` and RFC 3339.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec

from midas.ai import TASK, analysis
from midas.worker.blocking import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from botmetry import Telemetry
    from midas.store import Store
    from midas.sync import SyncService
    from midas.worker.consumer import Handler

Work: TypeAlias = "Callable[[Services, dict[str, Any]], Awaitable[dict[str, Any]]]"

STATISTICS: Final = "statistics"
"""Stands for the model where numbers are computed and no language model is asked."""
COMPARED_DAYS: Final = 365
"""A payment is strange in comparison with a year: what happens once a quarter is no news."""
MONTH_DAYS: Final = 31
MOST_DAYS: Final = 3660
"""Ten years: whoever asks for more mistyped."""


@dataclass(frozen=True, slots=True)
class Services:
    """The layers below the worker.

    Attributes:
        store: Where transactions are.
        sync: Categorizes and keeps what comes of it.
        telemetry: Where AI tasks are measured.
        now: Tells the time; for tests.
    """

    store: Store
    sync: SyncService
    telemetry: Telemetry
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class _Categorize(msgspec.Struct):
    user_id: int
    transaction_id: int
    description: str
    amount: Decimal
    currency: str = "EUR"


class _Days(msgspec.Struct):
    user_id: int
    days: Annotated[int, msgspec.Meta(gt=0, le=MOST_DAYS)]


class _Months(msgspec.Struct):
    user_id: int
    months: Annotated[int, msgspec.Meta(gt=0, le=MOST_DAYS // MONTH_DAYS)]


def handlers(services: Services) -> Mapping[str, Handler]:
    """Give the handlers of all task types, by type."""
    work: dict[str, Work] = {
        TASK: categorize_transaction,
        "analyze_spending": analyze_spending,
        "budget_recommendation": budget_recommendation,
        "find_anomalies": find_anomalies,
    }
    return {task_type: _bound(function, services) for task_type, function in work.items()}


async def categorize_transaction(services: Services, payload: dict[str, Any]) -> dict[str, Any]:
    """Find a category, and keep it or put it to the user.

    Gives ``transaction_id``, ``category``, ``confidence``, ``status``, and ``confirmation_id`` if somebody is asked.

    Raises:
        ValidationError: The payload is not {user_id, transaction_id, description, amount}.
        UnknownTransaction: The user has no such transaction.
        StoreUnavailable: PostgreSQL does not answer.
        QueueUnavailable: Redis does not answer.
    """
    wanted = msgspec.convert(payload, _Categorize)
    applied = await services.sync.categorize(
        wanted.user_id, wanted.transaction_id, wanted.description, wanted.amount, wanted.currency
    )
    return {
        "transaction_id": applied.transaction.id,
        "category": applied.transaction.category,
        "confidence": applied.transaction.confidence,
        "status": applied.transaction.status,
        "confirmation_id": None if applied.confirmation is None else applied.confirmation.id,
    }


async def analyze_spending(services: Services, payload: dict[str, Any]) -> dict[str, Any]:
    """Say where a user's money of the last days went: the fields of ``SpendingAnalysis``.

    Raises:
        ValidationError: The payload is not {user_id, days}.
        StoreUnavailable: PostgreSQL does not answer.
    """
    wanted = msgspec.convert(payload, _Days)
    with services.telemetry.ai.task("analyze_spending", model=STATISTICS):
        transactions = await _recent(services, wanted.user_id, wanted.days)
        return _plain(await in_thread(analysis.analyze_spending, transactions))


async def budget_recommendation(services: Services, payload: dict[str, Any]) -> dict[str, Any]:
    """Recommend budgets from the last months: ``budgets``, each with the fields of ``BudgetRecommendation``.

    Raises:
        ValidationError: The payload is not {user_id, months}.
        StoreUnavailable: PostgreSQL does not answer.
    """
    wanted = msgspec.convert(payload, _Months)
    with services.telemetry.ai.task("budget_recommendation", model=STATISTICS):
        # One month more: the present one is not over and does not count.
        transactions = await _recent(services, wanted.user_id, (wanted.months + 1) * MONTH_DAYS)
        budgets = await in_thread(analysis.budget_recommendation, transactions, services.now())
        return {"budgets": [_plain(budget) for budget in budgets]}


async def find_anomalies(services: Services, payload: dict[str, Any]) -> dict[str, Any]:
    """Find strange payments of the last days: ``anomalies``, each with the fields of ``Anomaly``.

    Raises:
        ValidationError: The payload is not {user_id, days}.
        StoreUnavailable: PostgreSQL does not answer.
    """
    wanted = msgspec.convert(payload, _Days)
    with services.telemetry.ai.task("find_anomalies", model=STATISTICS):
        transactions = await _recent(services, wanted.user_id, max(wanted.days, COMPARED_DAYS))
        since = services.now() - timedelta(days=wanted.days)
        anomalies = await in_thread(analysis.find_anomalies, transactions, since)
        return {"anomalies": [_plain(anomaly) for anomaly in anomalies]}


async def _recent(services: Services, user_id: int, days: int) -> list[Any]:
    # Banks date some bookings to tomorrow.
    end = services.now() + timedelta(days=1)
    return await services.store.transactions.between(user_id, end - timedelta(days=days + 1), end)


def _plain(value: object) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return plain


def _bound(work: Work, services: Services) -> Handler:
    return lambda task: work(services, task.payload)
