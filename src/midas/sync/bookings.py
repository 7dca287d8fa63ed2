"""What a statement says, before anybody owns it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from midas.domain.merchants import normalise
from midas.domain.transactions import NewTransaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from midas.domain.money import Money


@dataclass(frozen=True, slots=True)
class Booking:
    """One line of a statement."""

    line: int
    """Where it begins in the file, counted from 1."""
    occurred_at: datetime
    """UTC; midnight where the bank gives only the day."""
    money: Money
    """Negative = spent."""
    description: str
    """Counterparty, then purpose, on one line."""
    account: str
    """IBAN or number, empty where the file does not tell."""
    reference: str = ""
    """The bank's own id of the booking, empty where there is none."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account held."""

    account: str
    money: Money
    taken_at: datetime
    """UTC; everything up to and including this instant is in it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A whole file, read without an error."""

    source: str
    """``csv`` or ``ofx``."""
    account: str
    """The first account of the file, empty where it tells none."""
    currency: str
    """The currency of most bookings."""
    transactions: tuple[Booking, ...]
    balances: tuple[Balance, ...] = ()

    def for_user(self, user_id: int) -> list[NewTransaction]:
        """Give the bookings as transactions of a user, each with its identity."""
        ids = external_ids(self.transactions)
        return [
            NewTransaction(
                user_id=user_id,
                source=self.source,
                external_id=external_id,
                occurred_at=booking.occurred_at,
                amount=booking.money.amount,
                currency=booking.money.currency,
                description=booking.description,
                merchant=normalise(booking.description),
                account=booking.account,
            )
            for booking, external_id in zip(self.transactions, ids, strict=True)
        ]


def external_ids(bookings: Iterable[Booking]) -> list[str]:
    """Give each booking an identity that another file with the same booking gives it, too.

    It is a hash of what the bank says, and a number that tells equal bookings apart: the second coffee of a day
    is the second one in any file that has both. A bank's own id of a booking is part of what it says; where the
    bank gives one, equal bookings are one booking that is listed twice, as OFX demands of its FITID.
    """
    seen: Counter[str] = Counter()
    ids = []
    for booking in bookings:
        content = _content(booking)
        seen[content] += 1
        occurrence = 1 if booking.reference else seen[content]
        ids.append(f"{content}-{occurrence}")
    return ids


def one_line(text: str) -> str:
    """Give at most 1000 characters on one line, without control characters: PostgreSQL refuses NUL."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:1000]


def _content(booking: Booking) -> str:
    # 1.50 and 1.5 are one amount, and so are 0 and -0.
    amount = booking.money.amount.normalize() if booking.money.amount else Decimal(0)
    parts = (
        booking.account,
        booking.occurred_at.isoformat(),
        f"{amount:f}",
        booking.money.currency,
        booking.description,
        booking.reference,
    )
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
