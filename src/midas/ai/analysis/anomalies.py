"""Payments that are much larger than their like."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from math import exp, log
from statistics import median
from typing import TYPE_CHECKING, Final

from midas.ai.analysis.payments import by_category, main_currency, payments_in, rounded
from midas.ai.robust import spread
from midas.domain.categories import UNCATEGORIZED
from midas.domain.money import format_amount

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from midas.domain.transactions import Transaction

STRANGE: Final = 3.5
"""Modified z-score from which on a value counts as an outlier (Iglewicz and Hoaglin 1993)."""

_ENOUGH_PAYMENTS: Final = 8
"""With fewer the spread is a guess: the median absolute deviation of 8 normal values is off by a quarter (one
sigma)."""

_WORTH_MENTIONING: Final = Decimal("1.25")
"""A payment must be this many times the usual one: a subscription that costs two cents more is no news."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A payment that is much larger than its like."""

    transaction_id: int
    occurred_at: datetime
    merchant: str
    category: str
    amount: Decimal
    currency: str
    usual: Decimal
    """Median of the payments it was compared with."""
    score: float
    """Modified z-score of the logarithm of the amount; 3.5 and more."""
    compared_with: str
    """The merchant or category whose payments are its like."""
    explanation: str


@dataclass(frozen=True, slots=True)
class _Like:
    """Payments to compare with."""

    name: str
    payments: int
    middle: float
    """Median of the logarithms of the amounts."""
    spread: float
    """Of the logarithms, as a standard deviation."""


def find_anomalies(transactions: Sequence[Transaction], since: datetime | None = None) -> list[Anomaly]:
    """Find payments that are much larger than their like, the strangest first.

    A payment is compared with those of its merchant if there are eight, else with those of its category. Amounts
    are compared by their logarithms, because they are skewed: twice as much is as strange for a coffee as for a
    sofa. With the median m and the spread s of the logarithms, the score is ``(log(amount) - m) / s``; strange is
    3.5 and at least 1.25 times the usual amount.

    Args:
        transactions: What to compare with, and what to look through.
        since: Only payments at or after this instant are reported; all by default.
    """
    payments = payments_in(transactions, main_currency(transactions))
    merchants: dict[str, list[Transaction]] = defaultdict(list)
    for payment in payments:
        merchants[payment.merchant].append(payment)
    by_merchant = {name: _like(name, group) for name, group in merchants.items()}
    of_category = {name: _like(name, group) for name, group in by_category(payments).items()}
    found = []
    for payment in payments:
        if since is None or payment.occurred_at >= since:
            like = by_merchant[payment.merchant] or of_category[payment.category or UNCATEGORIZED]
            anomaly = None if like is None else _judge(payment, like)
            if anomaly is not None:
                found.append(anomaly)
    return sorted(found, key=lambda anomaly: (-anomaly.score, anomaly.transaction_id))


def _like(name: str, group: Sequence[Transaction]) -> _Like | None:
    if len(group) < _ENOUGH_PAYMENTS:
        return None
    logarithms = [log(-payment.amount) for payment in group]
    return _Like(name, len(group), median(logarithms), spread(logarithms))


def _judge(payment: Transaction, like: _Like) -> Anomaly | None:
    amount = -payment.amount
    usual = Decimal(exp(like.middle))
    score = (log(amount) - like.middle) / like.spread if like.spread else 0.0
    if score < STRANGE or amount < usual * _WORTH_MENTIONING:
        return None
    times = amount / usual
    usual = rounded(usual, payment.currency)
    return Anomaly(
        transaction_id=payment.id,
        occurred_at=payment.occurred_at,
        merchant=payment.merchant,
        category=payment.category or UNCATEGORIZED,
        amount=rounded(amount, payment.currency),
        currency=payment.currency,
        usual=usual,
        score=round(score, 1),
        compared_with=like.name,
        explanation=(
            f"{format_amount(amount, payment.currency)} at {payment.merchant} on {payment.occurred_at:%Y-%m-%d} is "
            f"{times:.1f} times the usual {format_amount(usual, payment.currency)} of {like.name} "
            f"({like.payments} payments)"
        ),
    )
