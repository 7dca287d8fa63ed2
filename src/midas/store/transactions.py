"""Transactions in PostgreSQL: added once, categorized by compare-and-set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from midas.domain.transactions import STATUSES, Method, NewTransaction, Status, Transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    import asyncpg

    from midas.store.connection import Database, Session

COLUMNS: Final = (
    "id, user_id, occurred_at, amount, currency, description, merchant, category, confidence, status, method"
)
_SELECT: Final = f"SELECT {COLUMNS} FROM transactions"  # noqa: S608 -- constants of this module only

_ADD_WALLETS: Final = """
    INSERT INTO wallets (user_id, account, currency)
    SELECT DISTINCT u, a, c FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (u, a, c)
    ON CONFLICT (user_id, account, currency) DO NOTHING
    """
_ADD: Final = (
    # Sorted, so that two imports of overlapping files lock rows in the same order and cannot deadlock.
    f"""
    INSERT INTO transactions
        (user_id, wallet_id, source, external_id, occurred_at, amount, currency, description, merchant)
    SELECT n.user_id, w.id, n.source, n.external_id, n.occurred_at, n.amount, n.currency, n.description, n.merchant
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::numeric[],
                $8::text[], $9::text[])
         AS n (user_id, account, currency, source, external_id, occurred_at, amount, description, merchant)
    JOIN wallets w ON w.user_id = n.user_id AND w.account = n.account AND w.currency = n.currency
    ORDER BY n.user_id, n.source, n.external_id
    ON CONFLICT (user_id, source, external_id) DO NOTHING
    RETURNING {COLUMNS}
    """  # noqa: S608 -- the columns are a constant
)
_GET: Final = f"{_SELECT} WHERE id = $1"
_GET_MANY: Final = f"{_SELECT} WHERE id = ANY ($1::bigint[]) ORDER BY id"
_UNCATEGORIZED: Final = (
    f"{_SELECT} WHERE user_id = $1 AND status = 'uncategorized' ORDER BY occurred_at DESC, id DESC LIMIT $2"
)
_LEFT_OPEN: Final = f"""
    {_SELECT} WHERE status = 'uncategorized' AND created_at >= $1 AND created_at < $2
    ORDER BY created_at, id LIMIT $3
    """
_PENDING: Final = (
    f"{_SELECT} WHERE user_id = $1 AND status = 'pending' ORDER BY occurred_at DESC, id DESC LIMIT $2"
)
_RECENT: Final = f"{_SELECT} WHERE user_id = $1 ORDER BY occurred_at DESC, id DESC LIMIT $2"
_BETWEEN: Final = (
    f"{_SELECT} WHERE user_id = $1 AND occurred_at >= $2 AND occurred_at < $3 ORDER BY occurred_at, id"
)
_OF_CATEGORY: Final = (
    f"{_SELECT} WHERE user_id = $1 AND category = $2 AND occurred_at >= $3 AND occurred_at < $4"
    " ORDER BY occurred_at DESC"
)
_OF_MERCHANT: Final = f"{_SELECT} WHERE user_id = $1 AND merchant = $2 ORDER BY occurred_at DESC LIMIT $3"
_SET_CATEGORY: Final = f"""
    UPDATE transactions
    SET category = $2, confidence = $3, status = $4, method = $5, categorized_at = now()
    WHERE id = $1 AND status = ANY ($6::text[])
    RETURNING {COLUMNS}
    """  # noqa: S608 -- the columns are a constant


class Transactions:
    """What was spent and earned."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_many(self, new: Sequence[NewTransaction]) -> list[Transaction]:
        """Store those that are not stored yet, all or none, and give exactly these.

        Identity is (user_id, source, external_id): calling it again, or twice at once, adds nothing.
        """
        if not new:
            return []
        async with self._database.transaction() as session:
            return await add_in(session, new)

    async def get(self, transaction_id: int) -> Transaction | None:
        """Give the transaction, or None when there is none with this id."""
        row = await self._database.row(_GET, transaction_id)
        return None if row is None else transaction_of(row)

    async def get_many(self, transaction_ids: Collection[int]) -> list[Transaction]:
        """Give those of the transactions that exist, in the order of their ids."""
        return await self._all(_GET_MANY, list(transaction_ids))

    async def uncategorized(self, user_id: int, limit: int = 100) -> list[Transaction]:
        """Give the transactions that nobody has decided on, the latest first."""
        return await self._all(_UNCATEGORIZED, user_id, limit)

    async def left_open(self, since: datetime, before: datetime, limit: int = 100) -> list[Transaction]:
        """Give the transactions of all users that were stored in this time and have no category, the oldest first."""
        return await self._all(_LEFT_OPEN, since, before, limit)

    async def pending(self, user_id: int, limit: int = 1000) -> list[Transaction]:
        """Give the transactions whose category waits for the user's word, the latest first."""
        return await self._all(_PENDING, user_id, limit)

    async def recent(self, user_id: int, limit: int = 10) -> list[Transaction]:
        """Give the latest transactions, the latest first."""
        return await self._all(_RECENT, user_id, limit)

    async def between(self, user_id: int, start: datetime, end: datetime) -> list[Transaction]:
        """Give the transactions with ``start <= occurred_at < end``, the oldest first."""
        return await self._all(_BETWEEN, user_id, start, end)

    async def of_category(
        self, user_id: int, category: str, start: datetime, end: datetime
    ) -> list[Transaction]:
        """Give the transactions of one category with ``start <= occurred_at < end``, the latest first."""
        return await self._all(_OF_CATEGORY, user_id, category, start, end)

    async def of_merchant(self, user_id: int, merchant: str, limit: int = 100) -> list[Transaction]:
        """Give the transactions with one normalised merchant, the latest first."""
        return await self._all(_OF_MERCHANT, user_id, merchant, limit)

    async def set_category(
        self,
        transaction_id: int,
        category: str,
        confidence: float,
        status: Status,
        method: Method,
        *,
        expected: Collection[Status] = STATUSES,
    ) -> Transaction | None:
        """Set the category if the status is one of `expected`, and give the transaction as it is then.

        Use `expected` where two may decide at once: the second gets None and has changed nothing.
        """
        row = await self._database.row(
            _SET_CATEGORY, transaction_id, category, confidence, status, method, list(expected)
        )
        return None if row is None else transaction_of(row)

    async def _all(self, query: str, *arguments: object) -> list[Transaction]:
        return [transaction_of(row) for row in await self._database.rows(query, *arguments)]


async def add_in(session: Session, new: Sequence[NewTransaction]) -> list[Transaction]:
    """Store those that are not stored yet within a transaction of the caller's, and give exactly these."""
    users = [transaction.user_id for transaction in new]
    accounts = [transaction.account for transaction in new]
    currencies = [transaction.currency for transaction in new]
    await session.rows(_ADD_WALLETS, users, accounts, currencies)
    rows = await session.rows(
        _ADD,
        users,
        accounts,
        currencies,
        [transaction.source for transaction in new],
        [transaction.external_id for transaction in new],
        [transaction.occurred_at for transaction in new],
        [transaction.amount for transaction in new],
        [transaction.description for transaction in new],
        [transaction.merchant for transaction in new],
    )
    return sorted(
        map(transaction_of, rows), key=lambda transaction: (transaction.occurred_at, transaction.id)
    )


def transaction_of(row: asyncpg.Record) -> Transaction:
    """Read a row of ``COLUMNS``."""
    return Transaction(**dict(row))
