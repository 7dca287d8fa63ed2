"""What a transaction is, before and after it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

Status: TypeAlias = Literal["pending", "auto", "confirmed", "corrected", "uncategorized"]
"""How the category came about: waits for the user, was sure enough, confirmed, corrected, or there is none yet."""

STATUSES: Final[tuple[Status, ...]] = ("pending", "auto", "confirmed", "corrected", "uncategorized")

Method: TypeAlias = Literal["mapping", "fuzzy", "llm", "user", "none"]
"""What the category was derived from."""

METHODS: Final[tuple[Method, ...]] = ("mapping", "fuzzy", "llm", "user", "none")


@dataclass(frozen=True, slots=True)
class NewTransaction:
    """A transaction as a source reports it; (user_id, source, external_id) identifies it for ever."""

    user_id: int
    source: str
    """Where it comes from: ``csv`` or ``ofx``."""
    external_id: str
    """Identity within user and source; the same transaction in another file has the same one."""
    occurred_at: datetime
    """Booking time, with time zone; UTC midnight where a bank gives only the day."""
    amount: Decimal
    """In units of the currency; negative = spent."""
    currency: str
    """ISO 4217 code."""
    description: str
    """What the bank wrote, counterparty first."""
    merchant: str
    """Normalised merchant, see ``midas.domain.merchants``."""
    account: str = ""
    """IBAN or account number within the bank, empty where the source does not tell."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A stored transaction."""

    id: int
    user_id: int
    occurred_at: datetime
    """UTC."""
    amount: Decimal
    """In units of the currency; negative = spent."""
    currency: str
    """ISO 4217 code."""
    description: str
    merchant: str
    category: str | None
    """A name of ``midas.domain.categories``, or None before anybody tried."""
    confidence: float | None
    """Probability in 0..1 that the category is right; None before anybody tried."""
    status: Status
    method: Method = "none"
