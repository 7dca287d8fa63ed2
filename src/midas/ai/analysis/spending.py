"""Where money goes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, Final

from midas.ai.analysis.payments import by_category, main_currency, payments_in, rounded
from midas.ai.robust import slope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from midas.domain.transactions import Transaction

_ENOUGH_WEEKS: Final = 4


@dataclass(frozen=True, slots=True)
class CategorySpending:
    """What was spent on one category."""

    category: str
    amount: Decimal
    share: float
    """Of all spending, 0..1."""
    payments: int
    median_payment: Decimal
    trend_a_week: Decimal | None
    """By how much a week's sum grows from week to week (Theil-Sen); None with fewer than four whole weeks."""


@dataclass(frozen=True, slots=True)
class SpendingAnalysis:
    """Where money went."""

    currency: str
    start: datetime | None
    """Of the first payment, None without any."""
    end: datetime | None
    """Of the last payment."""
    spent: Decimal
    received: Decimal
    """Positive amounts of the category Income or of none."""
    categories: tuple[CategorySpending, ...]
    """The largest first."""


def analyze_spending(transactions: Sequence[Transaction]) -> SpendingAnalysis:
    """Add up payments by category, with the usual payment and the trend of each."""
    currency = main_currency(transactions)
    payments = payments_in(transactions, currency)
    total = sum((-payment.amount for payment in payments), Decimal(0))
    received = sum(
        (
            t.amount
            for t in transactions
            if t.amount > 0 and t.currency == currency and t.category in {"Income", None}
        ),
        Decimal(0),
    )
    groups = by_category(payments)
    rows = [
        _category_spending(category, group, total, payments, currency) for category, group in groups.items()
    ]
    return SpendingAnalysis(
        currency=currency,
        start=min((payment.occurred_at for payment in payments), default=None),
        end=max((payment.occurred_at for payment in payments), default=None),
        spent=rounded(total, currency),
        received=rounded(received, currency),
        categories=tuple(sorted(rows, key=lambda row: (-row.amount, row.category))),
    )


def _category_spending(
    category: str,
    group: Sequence[Transaction],
    total: Decimal,
    payments: Sequence[Transaction],
    currency: str,
) -> CategorySpending:
    amount = sum((-payment.amount for payment in group), Decimal(0))
    weeks = _weekly_sums(group, payments)
    trend = rounded(Decimal(slope(weeks)), currency) if len(weeks) >= _ENOUGH_WEEKS else None
    return CategorySpending(
        category=category,
        amount=rounded(amount, currency),
        share=float(amount / total),
        payments=len(group),
        median_payment=rounded(median(-payment.amount for payment in group), currency),
        trend_a_week=trend,
    )


def _weekly_sums(group: Sequence[Transaction], payments: Sequence[Transaction]) -> list[float]:
    """Add up a group by whole weeks, counted back from the last of all payments."""
    end = max(payment.occurred_at for payment in payments)
    weeks = (end - min(payment.occurred_at for payment in payments) + timedelta(days=1)) // timedelta(weeks=1)
    sums = [0.0] * weeks
    for payment in group:
        age = (end - payment.occurred_at) // timedelta(weeks=1)
        if age < weeks:
            sums[weeks - 1 - age] += float(-payment.amount)
    return sums
