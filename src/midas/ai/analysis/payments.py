"""Which transactions count as payments, and in which currency.

Payments are negative amounts outside Transfers and Income, in the currency of most payments: amounts in different
currencies cannot be added.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from midas.domain.categories import NOT_SPENDING, UNCATEGORIZED
from midas.domain.money import Money

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from midas.domain.transactions import Transaction


def main_currency(transactions: Sequence[Transaction]) -> str:
    """Give the currency of most payments, EUR when there are none."""
    counts = Counter(transaction.currency for transaction in transactions if transaction.amount < 0)
    return max(counts, key=lambda currency: (counts[currency], currency)) if counts else "EUR"


def payments_in(transactions: Sequence[Transaction], currency: str) -> list[Transaction]:
    """Give the payments in one currency, in their order."""
    return [
        t for t in transactions if t.amount < 0 and t.currency == currency and t.category not in NOT_SPENDING
    ]


def by_category(payments: Sequence[Transaction]) -> dict[str, list[Transaction]]:
    """Group payments by category; those without one are Uncategorized."""
    groups: dict[str, list[Transaction]] = defaultdict(list)
    for payment in payments:
        groups[payment.category or UNCATEGORIZED].append(payment)
    return groups


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Give the amount in whole smallest units of the currency."""
    return Money(amount, currency).rounded().amount
