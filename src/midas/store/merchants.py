"""What is known about merchants: the user's own word first, then what everybody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from midas.store.connection import Database

# The user's own evidence decides: the category decided most often, the latest on a tie. What everybody knows is
# added where the user never decided otherwise: a person's word about their own purchases outweighs a general
# list.
_LOOKUP: Final = """
    WITH own AS (
        SELECT category, confirmations, sum(confirmations) OVER () - confirmations AS corrections, updated_at
        FROM merchant_mappings
        WHERE user_id = $1 AND merchant = $2
        ORDER BY confirmations DESC, updated_at DESC
        LIMIT 1
    ), known AS (
        SELECT category, confirmations, corrections FROM reference_merchants WHERE merchant = $2
    )
    SELECT own.category,
           (own.confirmations + coalesce(known.confirmations, 0))::integer AS confirmations,
           (own.corrections + coalesce(known.corrections, 0))::integer AS corrections
    FROM own LEFT JOIN known ON known.category = own.category AND own.corrections = 0
    UNION ALL
    SELECT category, confirmations, corrections FROM known WHERE NOT EXISTS (SELECT FROM own)
    """
_CANDIDATES: Final = (
    # The weight is the share of agreeing evidence for the merchant's strongest category.
    """
    WITH own AS (
        SELECT DISTINCT ON (merchant) merchant, category,
               confirmations::float8 / sum(confirmations) OVER (PARTITION BY merchant) AS weight
        FROM merchant_mappings
        WHERE user_id = $1
        ORDER BY merchant, confirmations DESC, updated_at DESC
    )
    SELECT merchant, category, weight FROM own
    UNION ALL
    SELECT merchant, category, confirmations::float8 / (confirmations + corrections)
    FROM reference_merchants r
    WHERE NOT EXISTS (SELECT FROM own WHERE own.merchant = r.merchant)
    """
)
_TEACH: Final = """
    INSERT INTO merchant_mappings AS known (user_id, merchant, category) VALUES ($1, $2, $3)
    ON CONFLICT (merchant, user_id, category) DO UPDATE
    SET confirmations = known.confirmations + 1, updated_at = now()
    """


class Mapping(NamedTuple):
    """The category of a merchant, and how often it was decided so and otherwise."""

    category: str
    confirmations: int
    corrections: int


class Candidate(NamedTuple):
    """A known merchant that an unknown one may resemble."""

    merchant: str
    category: str
    weight: float
    """Share in 0..1 of the merchant's purchases that belong to the category."""


class Merchants:
    """The memory of the categorizer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lookup(self, user_id: int, merchant: str) -> Mapping | None:
        """Give what is known about exactly this normalised merchant, or None."""
        row = await self._database.row(_LOOKUP, user_id, merchant)
        return None if row is None else Mapping(*row)

    async def candidates(self, user_id: int) -> list[Candidate]:
        """Give every merchant that is known, the user's own view of it where there is one."""
        return [Candidate(*row) for row in await self._database.rows(_CANDIDATES, user_id)]

    async def teach(self, user_id: int, merchant: str, category: str) -> None:
        """Remember that the user put this merchant into this category once more."""
        await self._database.rows(_TEACH, user_id, merchant, category)
