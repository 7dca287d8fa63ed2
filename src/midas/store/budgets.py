"""What a user means to spend on a category in a calendar month."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from midas.domain.money import Money

if TYPE_CHECKING:
    from midas.store.connection import Database

_SET: Final = """
    INSERT INTO budgets (user_id, category, currency, amount) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id, category, currency) DO UPDATE SET amount = excluded.amount, updated_at = now()
    """
_REMOVE: Final = "DELETE FROM budgets WHERE user_id = $1 AND category = $2"
_OF_USER: Final = (
    "SELECT category, amount, currency FROM budgets WHERE user_id = $1 ORDER BY category, currency"
)


class Budgets:
    """Monthly limits that users set themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set(self, user_id: int, category: str, limit: Money) -> None:
        """Set the limit of one month, instead of the one before."""
        await self._database.rows(_SET, user_id, category, limit.currency, limit.amount)

    async def remove(self, user_id: int, category: str) -> None:
        """Forget the limit, in every currency."""
        await self._database.rows(_REMOVE, user_id, category)

    async def of_user(self, user_id: int) -> list[tuple[str, Money]]:
        """Give category and limit, in the order of the categories."""
        rows = await self._database.rows(_OF_USER, user_id)
        return [(row["category"], Money(row["amount"], row["currency"])) for row in rows]
