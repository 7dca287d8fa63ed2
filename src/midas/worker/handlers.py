"""What a worker can do: a function for each type of task, from its payload to its result.

Results are plain JSON: amounts as text, moments as RFC 3339. The arithmetic of an analysis runs in a thread, so that
ten thousand payments of one user do not keep the others waiting.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, cast

from midas.ai import TASK
from midas.ai.analysis import analyze_spending, budget_recommendation, find_anomalies
from midas.queue import InvalidTask
from midas.worker.blocking import in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botmetry import Telemetry
    from midas.domain.transactions import Transaction
    from midas.queue import Task
    from midas.store import Store
    from midas.sync import SyncService
    from midas.worker.consumer import Handler

COMPARED_WITH_DAYS: Final = 365
"""What is unusual is told from a year: seasons and yearly bills are in it."""
MONTH_DAYS: Final = 31


class Handlers:
    """The four kinds of AI work.

    Args:
        store: Where transactions are.
        sync: Categorizes one and applies the answer.
        telemetry: Where the analyses are counted as AI tasks.
    """

    def __init__(self, store: Store, sync: SyncService, telemetry: Telemetry) -> None:
        self._store = store
        self._sync = sync
        self._telemetry = telemetry

    def by_type(self) -> Mapping[str, Handler]:
        """Return the handlers by the type of task."""
        return {
            TASK: self.categorize,
            "analyze_spending": self.analyze_spending,
            "budget_recommendation": self.recommend_budget,
            "find_anomalies": self.find_anomalies,
        }

    async def categorize(self, task: Task) -> dict[str, Any]:
        """File one transaction, or have its user asked: `user_id`, `transaction_id`, `description`, `amount`."""
        applied = await self._sync.categorize(
            _whole(task, "user_id"),
            _whole(task, "transaction_id"),
            str(task.payload.get("description", "")),
            _amount(task),
            str(task.payload.get("currency", "EUR")),
        )
        return cast("dict[str, Any]", _plain(asdict(applied)))

    async def analyze_spending(self, task: Task) -> dict[str, Any]:
        """Add up the last `days` of a user, by category."""
        with self._telemetry.ai.task("analyze_spending", "statistics"):
            payments = await self._since(task, _whole(task, "days"))
            analysis = await in_thread(analyze_spending, payments)
        return cast("dict[str, Any]", _plain(asdict(analysis)))

    async def recommend_budget(self, task: Task) -> dict[str, Any]:
        """Recommend a monthly budget from the last `months` of a user."""
        with self._telemetry.ai.task("budget_recommendation", "statistics"):
            # The month that is under way does not count, so one more is read.
            payments = await self._since(task, (_whole(task, "months") + 1) * MONTH_DAYS)
            budgets = await in_thread(budget_recommendation, payments)
        return {"budgets": _plain([asdict(budget) for budget in budgets])}

    async def find_anomalies(self, task: Task) -> dict[str, Any]:
        """Find the payments of the last `days` that are unusual for the user, judged by a year."""
        days = _whole(task, "days")
        since = datetime.now(UTC) - timedelta(days=days)
        with self._telemetry.ai.task("find_anomalies", "statistics"):
            payments = await self._since(task, max(days, COMPARED_WITH_DAYS))
            anomalies = await in_thread(find_anomalies, payments, since)
        return {"anomalies": _plain([asdict(anomaly) for anomaly in anomalies])}

    async def _since(self, task: Task, days: int) -> list[Transaction]:
        now = datetime.now(UTC)
        start, end = now - timedelta(days=days), now + timedelta(days=1)
        return await self._store.transactions.between(_whole(task, "user_id"), start, end)


def _whole(task: Task, name: str) -> int:
    value = task.payload.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise InvalidTask(f"{task.type} needs a whole number {name} greater than 0 and got {value!r}")


def _amount(task: Task) -> Decimal:
    value = task.payload.get("amount")
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if amount.is_finite():
        return amount
    raise InvalidTask(f"{task.type} needs an amount such as '-12.34' and got {value!r}")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
