"""What to plan for a month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from statistics import median
from typing import TYPE_CHECKING, Final

from midas.ai.analysis.payments import by_category, main_currency, payments_in, rounded
from midas.ai.robust import spread
from midas.domain.money import format_amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midas.domain.transactions import Transaction

_ENOUGH_MONTHS: Final = 2
_BUDGET_STEP: Final = Decimal(5)
"""Nobody plans 312.47; budgets are rounded up to whole fives."""


@dataclass(frozen=True, slots=True)
class BudgetRecommendation:
    """What to plan for one category."""

    category: str
    currency: str
    amount: Decimal
    """A calendar month: median + spread of the months, rounded up to a whole five."""
    median: Decimal
    """Of the monthly sums, months without a payment included."""
    spread: Decimal
    """Standard deviation of the monthly sums, estimated from their median absolute deviation."""
    months: int
    """Complete calendar months that were looked at."""
    explanation: str


def budget_recommendation(
    transactions: Sequence[Transaction], now: datetime | None = None
) -> list[BudgetRecommendation]:
    """Recommend a monthly budget for each category, the largest first.

    ``median + spread`` of the sums of the complete calendar months since the first transaction: if months were
    normally distributed, five of six would stay below. The month that is not over is left out, and months without
    a payment count as 0: a yearly bill becomes what to lay aside for it. Empty with fewer than two complete months.

    Args:
        transactions: All of the months to look at.
        now: Tells which month is not over; the present by default.
    """
    currency = main_currency(transactions)
    payments = payments_in(transactions, currency)
    months = _complete_months(transactions, now or datetime.now(UTC))
    if len(months) < _ENOUGH_MONTHS:
        return []
    found = [_budget(category, group, months, currency) for category, group in by_category(payments).items()]
    return sorted(
        (budget for budget in found if budget.amount > 0),
        key=lambda budget: (-budget.amount, budget.category),
    )


def _complete_months(transactions: Sequence[Transaction], now: datetime) -> list[tuple[int, int]]:
    """Give year and month of the calendar months from the first transaction on that are over."""
    if not transactions:
        return []
    first = min(transaction.occurred_at for transaction in transactions)
    # A month that is only partly covered would look cheap; it counts if the data begin within its first three days.
    covered = 3
    index = first.year * 12 + first.month - 1 + (0 if first.day <= covered else 1)
    return [(month // 12, month % 12 + 1) for month in range(index, now.year * 12 + now.month - 1)]


def _budget(
    category: str, group: Sequence[Transaction], months: Sequence[tuple[int, int]], currency: str
) -> BudgetRecommendation:
    sums = dict.fromkeys(months, 0.0)
    for payment in group:
        month = (payment.occurred_at.year, payment.occurred_at.month)
        if month in sums:
            sums[month] += float(-payment.amount)
    usual, width = median(sums.values()), spread(list(sums.values()))
    amount = (Decimal(usual + width) / _BUDGET_STEP).to_integral_value(ROUND_CEILING) * _BUDGET_STEP
    middle, deviation = rounded(Decimal(usual), currency), rounded(Decimal(width), currency)
    return BudgetRecommendation(
        category=category,
        currency=currency,
        amount=amount,
        median=middle,
        spread=deviation,
        months=len(months),
        explanation=(
            f"{category}: {format_amount(middle, currency)} in the middle of {len(months)} months, usually "
            f"within {format_amount(deviation, currency)} of it"
        ),
    )
