"""Sums over a user's money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from midas.domain.money import Money

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from midas.store.connection import Database

# A wallet is worth its latest known balance and what was booked since; without one, all that was booked.
_BALANCE: Final = """
    SELECT w.currency, sum(coalesce(known.balance, 0) + coalesce(booked.total, 0)) AS amount
    FROM wallets w
    LEFT JOIN LATERAL (
        SELECT balance, taken_at FROM balance_snapshots s WHERE s.wallet_id = w.id ORDER BY taken_at DESC LIMIT 1
    ) known ON true
    LEFT JOIN LATERAL (
        SELECT sum(t.amount) AS total FROM transactions t
        WHERE t.wallet_id = w.id AND t.occurred_at > coalesce(known.taken_at, '-infinity')
    ) booked ON true
    WHERE w.user_id = $1
    GROUP BY w.currency
    ORDER BY w.currency
    """
# Adding up euros and yen would be nonsense: one currency at a time, by default the one used most often.
_SPENDING: Final = """
    WITH spent AS (
        SELECT coalesce(category, 'Uncategorized') AS category, currency, -sum(amount) AS amount, count(*) AS count
        FROM transactions
        WHERE user_id = $1 AND amount < 0 AND occurred_at >= $2 AND occurred_at < $3
        GROUP BY 1, 2
    ), chosen AS (
        SELECT coalesce(
            $4, (SELECT currency FROM spent GROUP BY currency ORDER BY sum(count) DESC, currency LIMIT 1)
        ) AS currency
    )
    SELECT spent.category, spent.amount, spent.count::integer
    FROM spent JOIN chosen USING (currency) JOIN categories ON categories.name = spent.category
    WHERE categories.is_spending
    ORDER BY spent.amount DESC, spent.category
    """
_ADD_SNAPSHOT: Final = """
    WITH wallet AS (
        INSERT INTO wallets (user_id, account, currency) VALUES ($1, $2, $3)
        ON CONFLICT (user_id, account, currency) DO UPDATE SET currency = excluded.currency
        RETURNING id
    )
    INSERT INTO balance_snapshots (wallet_id, taken_at, balance) SELECT id, $4, $5 FROM wallet
    ON CONFLICT (taken_at, wallet_id) DO UPDATE SET balance = excluded.balance
    """
_HISTORY: Final = """
    SELECT s.taken_at, s.balance, w.currency
    FROM wallets w JOIN balance_snapshots s ON s.wallet_id = w.id
    WHERE w.user_id = $1 AND s.taken_at >= $2
    ORDER BY s.taken_at
    """


class Spending(NamedTuple):
    """What was spent on one category."""

    category: str
    amount: Decimal
    """Positive, in units of the report's currency."""
    payments: int
    """Number of transactions."""


class Reports:
    """Sums over a user's money."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def balance(self, user_id: int) -> list[Money]:
        """Give what the user has, one amount a currency, in the order of the currency codes."""
        return [Money(row["amount"], row["currency"]) for row in await self._database.rows(_BALANCE, user_id)]

    async def spending(
        self, user_id: int, start: datetime, end: datetime, currency: str | None = None
    ) -> list[Spending]:
        """Add up what was spent with ``start <= occurred_at < end``, the largest category first.

        Refunds are not subtracted, and transfers and income are left out. Without a currency the one of most
        payments is taken.
        """
        return [Spending(*row) for row in await self._database.rows(_SPENDING, user_id, start, end, currency)]

    async def add_snapshot(self, user_id: int, account: str, balance: Money, taken_at: datetime) -> None:
        """Remember what a statement says the account held, everything up to `taken_at` included."""
        await self._database.rows(_ADD_SNAPSHOT, user_id, account, balance.currency, taken_at, balance.amount)

    async def balance_history(self, user_id: int, since: datetime) -> Sequence[tuple[datetime, Money]]:
        """Give the balances that statements reported since then, the oldest first."""
        rows = await self._database.rows(_HISTORY, user_id, since)
        return [(row["taken_at"], Money(row["balance"], row["currency"])) for row in rows]
