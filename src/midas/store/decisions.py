"""How predictions ended, which is how good they were; Redis holds only those that still wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

    from midas.domain.transactions import Method
    from midas.store.connection import Database

Outcome: TypeAlias = Literal["confirmed", "corrected", "expired", "rejected"]

_DECIDED: Final = """
    INSERT INTO confirmation_history (user_id, transaction_id, predicted, decided, confidence, method, outcome)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    """
_DECISIONS_OF_USER: Final = """
    SELECT transaction_id, predicted, decided, confidence, method, outcome, decided_at
    FROM confirmation_history WHERE user_id = $1 ORDER BY decided_at DESC LIMIT $2
    """
_ACCURACY: Final = (
    # The mean of (confidence - right)^2 is the Brier score (Brier 1950): 0 is perfect, a constant 0.5 gets 0.25.
    """
    SELECT method, count(*)::integer, count(*) FILTER (WHERE outcome = 'confirmed')::integer,
           avg(confidence) AS mean_confidence,
           avg((confidence - (outcome = 'confirmed')::integer) ^ 2) AS brier_score
    FROM confirmation_history
    WHERE decided_at >= $1 AND outcome IN ('confirmed', 'corrected')
    GROUP BY method ORDER BY method
    """
)


class Decision(NamedTuple):
    """How one prediction ended."""

    transaction_id: int
    predicted: str
    decided: str | None
    confidence: float
    method: Method
    outcome: Outcome
    decided_at: datetime


class Accuracy(NamedTuple):
    """How good the predictions of one method were, judged by those users who answered."""

    method: Method
    decided: int
    right: int
    mean_confidence: float
    """In 0..1; honest when it is near ``right / decided``."""
    brier_score: float
    """Mean squared difference between confidence and truth, 0..1, smaller is better."""


class Decisions:
    """How predictions ended, which is how good they were."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self,
        user_id: int,
        transaction_id: int,
        *,
        predicted: str,
        decided: str | None,
        confidence: float,
        method: Method,
        outcome: Outcome,
    ) -> None:
        """Write how one prediction ended; `decided` is None when nobody decided."""
        await self._database.rows(
            _DECIDED, user_id, transaction_id, predicted, decided, confidence, method, outcome
        )

    async def of_user(self, user_id: int, limit: int = 100) -> list[Decision]:
        """Give a user's decisions, the latest first."""
        return [Decision(*row) for row in await self._database.rows(_DECISIONS_OF_USER, user_id, limit)]

    async def accuracy(self, since: datetime) -> list[Accuracy]:
        """Compare confidence and truth for each method, over the decisions since then."""
        return [Accuracy(*row) for row in await self._database.rows(_ACCURACY, since)]
