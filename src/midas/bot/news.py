"""The messages that come later: how a categorization ended, and what an analysis found."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any, Final

import msgspec

from midas.bot.texts import counted
from midas.domain import format_amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midas.bot.watches import Watch
    from midas.store import Store

NOT_THIS_TIME: Final = "I could not work it out this time. Please ask again in a minute."
NO_BUDGET: Final = "💡 I need two whole months of payments to suggest a budget."
NOTHING_UNUSUAL: Final = "🔎 I found nothing unusual."
NOTHING_SPENT: Final = "📊 There was nothing to look at more closely."

_MOST_CATEGORIES: Final = 3
_MOST_BUDGETS: Final = 10
_MOST_ANOMALIES: Final = 5

Result = dict[str, Any]


class Category(msgspec.Struct, frozen=True):
    """What a message needs of `midas.ai.analysis.CategorySpending`."""

    category: str
    payments: int
    median_payment: Decimal
    trend_a_week: Decimal | None


class Analysis(msgspec.Struct, frozen=True):
    """What a message needs of `midas.ai.analysis.SpendingAnalysis`."""

    currency: str
    spent: Decimal
    received: Decimal
    categories: list[Category]


class Budget(msgspec.Struct, frozen=True):
    """What a message needs of `midas.ai.analysis.BudgetRecommendation`."""

    category: str
    currency: str
    amount: Decimal
    median: Decimal
    months: int


class Oddity(msgspec.Struct, frozen=True):
    """What a message needs of `midas.ai.analysis.Anomaly`."""

    explanation: str


class _Budgets(msgspec.Struct):
    budgets: list[Budget]


class _Oddities(msgspec.Struct):
    anomalies: list[Oddity]


class Newsroom:
    """Writes what is told when a promise is kept."""

    def __init__(self, store: Store) -> None:
        """Ask `store` what became of transactions: results of tasks expire, and users decide meanwhile."""
        self._store = store

    async def write(self, watch: Watch, results: Sequence[Result]) -> str:
        """Return the message for a promise whose tasks have ended.

        Args:
            watch: What was promised.
            results: Of the tasks that ended well.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
        """
        if watch.kind == "categorization":
            return await self._categorization(watch)
        if not results:
            return NOT_THIS_TIME
        if watch.kind == "analyze_spending":
            return analysis_text(msgspec.convert(results[0], Analysis))
        if watch.kind == "budget_recommendation":
            return budget_text(msgspec.convert(results[0], _Budgets).budgets)
        return anomalies_text(msgspec.convert(results[0], _Oddities).anomalies)

    async def _categorization(self, watch: Watch) -> str:
        transactions = await self._store.transactions.get_many(watch.transaction_ids)
        by_status = Counter(transaction.status for transaction in transactions)
        return categorization_text(len(transactions), by_status["pending"], by_status["uncategorized"])


def categorization_text(total: int, waiting: int, undecided: int) -> str:
    """Return how a categorization ended: so many payments in all, waiting for the user, and without a category."""
    filed = total - waiting - undecided
    lines = [f"🗂 Categorization of {counted(total, 'payment')} finished: {filed} filed."]
    if waiting:
        lines.append(f"{counted(waiting, 'payment')} {'waits' if waiting == 1 else 'wait'} for you: /pending")
    if undecided:
        lines.append(
            f"{counted(undecided, 'payment')} could not be sorted this time: /categorize tries again."
        )
    return "\n".join(lines)


def analysis_text(found: Analysis) -> str:
    """Return what the largest categories are made of and where they are going."""
    if not found.categories:
        return NOTHING_SPENT
    lines = ["📊 <b>A closer look</b>"]
    lines += [_category_line(category, found.currency) for category in found.categories[:_MOST_CATEGORIES]]
    if found.received > 0:
        left = found.received - found.spent
        kept = "were left over" if left >= 0 else "more than that were spent"
        received = format_amount(found.received, found.currency)
        lines.append(f"You received {received}: {format_amount(abs(left), found.currency)} {kept}.")
    return "\n".join(lines)


def budget_text(budgets: Sequence[Budget]) -> str:
    """Return a budget a month for each category, the largest first."""
    if not budgets:
        return NO_BUDGET
    lines = [
        f"{escape(budget.category)}: <b>{format_amount(budget.amount, budget.currency)}</b> "
        f"(usually {format_amount(budget.median, budget.currency)})"
        for budget in budgets[:_MOST_BUDGETS]
    ]
    head = f"💡 <b>A month could look like this</b>, going by {counted(budgets[0].months, 'month')}:"
    return "\n".join([head, *lines])


def anomalies_text(anomalies: Sequence[Oddity]) -> str:
    """Return the payments that are much larger than their like."""
    if not anomalies:
        return NOTHING_UNUSUAL
    lines = [f"• {escape(anomaly.explanation)}." for anomaly in anomalies[:_MOST_ANOMALIES]]
    if len(anomalies) > _MOST_ANOMALIES:
        lines.append(f"… and {len(anomalies) - _MOST_ANOMALIES} more")
    return "\n".join(["🔎 <b>Unusual payments</b>", *lines])


def _category_line(category: Category, currency: str) -> str:
    usual = format_amount(category.median_payment, currency)
    line = f"{escape(category.category)}: {counted(category.payments, 'payment')}, usually {usual} each"
    if category.trend_a_week:
        direction = "more" if category.trend_a_week > 0 else "less"
        line += f", {format_amount(abs(category.trend_a_week), currency)} {direction} every week"
    return f"{line}."
