"""One question to a user, "is this the right category?", and what became of it; kept as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

import msgspec


class ConfirmationStatus(StrEnum):
    """PENDING, then for ever one of the others."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    CORRECTED = "corrected"
    REJECTED = "rejected"
    EXPIRED = "expired"


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """A category that waits for a user's word.

    Attributes:
        id: Twelve characters of A-Z, a-z, 0-9, ``_`` and ``-``: short enough for the data of a Telegram button.
        user_id: Who is asked; nobody else may answer.
        transaction_id: What it is about.
        predicted: The category that the AI found.
        confidence: How sure it was, 0..1.
        description: The transaction as the user knows it.
        created_at: When it was asked, UTC.
        expires_at: From when on an answer comes too late, UTC.
        status: What became of it.
        category: The category that was decided on, None until then and where none was.
        decided_at: When it was decided or found expired, UTC.
        decision: Tells this decision from any other, so that a repeated command recognises its own.
    """

    id: str
    user_id: int
    transaction_id: int
    predicted: str
    confidence: float
    description: str
    created_at: datetime
    expires_at: datetime
    status: ConfirmationStatus = ConfirmationStatus.PENDING
    category: str | None = None
    decided_at: datetime | None = None
    decision: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether nobody has decided, and it has not been found expired."""
        return self.status is ConfirmationStatus.PENDING

    @property
    def waited_seconds(self) -> float:
        """Seconds from the question to the decision; 0 before it."""
        return 0.0 if self.decided_at is None else (self.decided_at - self.created_at).total_seconds()

    @property
    def expires_at_ms(self) -> int:
        """``expires_at`` as Redis sorts it, milliseconds since 1970."""
        return round(self.expires_at.timestamp() * 1000)

    def decided(
        self, status: ConfirmationStatus, category: str | None, now_ms: int, decision: str
    ) -> Confirmation:
        """Give the confirmation as it is after a decision."""
        return msgspec.structs.replace(
            self, status=status, category=category, decided_at=moment(now_ms), decision=decision
        )


def moment(milliseconds: int) -> datetime:
    """Turn milliseconds since 1970 into a time, UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def pack(confirmation: Confirmation) -> bytes:
    """Encode as JSON."""
    return msgspec.json.encode(confirmation)


def unpack(document: bytes | None) -> Confirmation | None:
    """Decode; None for nothing, and for something that is no confirmation of ours."""
    if document is None:
        return None
    try:
        return msgspec.json.decode(document, type=Confirmation)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
