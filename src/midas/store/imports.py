"""Imports that are under way: their files, what they have added so far, and how exactly that is taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from midas.errors import UnknownImport
from midas.store.audit import record_in
from midas.store.transactions import COLUMNS, add_in, transaction_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from midas.domain.money import Money
    from midas.domain.transactions import NewTransaction, Transaction
    from midas.store.connection import Database, Session

_KEEP: Final = """
    INSERT INTO statement_files (import_id, user_id, name, content) VALUES ($1, $2, $3, $4)
    ON CONFLICT (import_id) DO NOTHING
    """
_FILE: Final = "SELECT user_id, name, content FROM statement_files WHERE import_id = $1"
_LOCK: Final = """
    SELECT user_id, name, run_id, created_at FROM statement_files WHERE import_id = $1 FOR UPDATE
    """
_NOTE_TRANSACTIONS: Final = (
    "INSERT INTO imported_transactions (transaction_id, import_id) SELECT unnest($1::bigint[]), $2"
)
# All parts of one statement see what was there before it: `known` is the balance that is about to be replaced.
_NOTE_BALANCE: Final = """
    WITH wallet AS (
        INSERT INTO wallets (user_id, account, currency) VALUES ($1, $2, $3)
        ON CONFLICT (user_id, account, currency) DO UPDATE SET currency = excluded.currency
        RETURNING id
    ), known AS (
        SELECT s.balance FROM balance_snapshots s JOIN wallet ON wallet.id = s.wallet_id WHERE s.taken_at = $4
    ), added AS (
        INSERT INTO balance_snapshots (wallet_id, taken_at, balance) SELECT id, $4, $5 FROM wallet
        ON CONFLICT (taken_at, wallet_id) DO UPDATE SET balance = excluded.balance
        RETURNING id
    )
    INSERT INTO imported_balances (snapshot_id, import_id, previous)
    SELECT id, $6, (SELECT balance FROM known) FROM added
    ON CONFLICT (snapshot_id, import_id) DO NOTHING
    """
_NOTE_RUN: Final = """
    WITH run AS (
        INSERT INTO sync_runs (user_id, source, file_name, started_at, finished_at, found, added, duplicates, outcome)
        SELECT user_id, $2, name, created_at, now(), $3, $4, $5, 'ok' FROM statement_files WHERE import_id = $1
        RETURNING id
    )
    UPDATE statement_files SET run_id = run.id FROM run WHERE import_id = $1 RETURNING run.id
    """
_OF_IMPORT: Final = f"""
    SELECT {COLUMNS} FROM transactions
    WHERE id IN (SELECT transaction_id FROM imported_transactions WHERE import_id = $1) ORDER BY occurred_at, id
    """  # noqa: S608 -- the columns are a constant
_TAKE_TRANSACTIONS_BACK: Final = """
    DELETE FROM transactions t USING imported_transactions i
    WHERE i.import_id = $1 AND t.id = i.transaction_id AND t.status NOT IN ('confirmed', 'corrected')
    RETURNING t.id
    """
_RESTORE_BALANCES: Final = """
    UPDATE balance_snapshots s SET balance = i.previous FROM imported_balances i
    WHERE i.import_id = $1 AND s.id = i.snapshot_id AND i.previous IS NOT NULL
    """
_TAKE_BALANCES_BACK: Final = """
    DELETE FROM balance_snapshots s USING imported_balances i
    WHERE i.import_id = $1 AND s.id = i.snapshot_id AND i.previous IS NULL
    """
_TAKE_WALLETS_BACK: Final = """
    DELETE FROM wallets w WHERE w.user_id = $1 AND w.created_at >= $2
        AND NOT EXISTS (SELECT FROM transactions t WHERE t.wallet_id = w.id)
        AND NOT EXISTS (SELECT FROM balance_snapshots s WHERE s.wallet_id = w.id)
        AND NOT EXISTS (SELECT FROM transfers f WHERE w.id IN (f.from_wallet, f.to_wallet))
    """
_TAKE_RUN_BACK: Final = """
    WITH undone AS (UPDATE statement_files SET run_id = NULL WHERE import_id = $1)
    UPDATE sync_runs SET outcome = 'error', added = 0 WHERE id = $2
    """
_REMOVE: Final = "DELETE FROM statement_files WHERE import_id = $1"
_FORGET: Final = "DELETE FROM statement_files WHERE created_at < $1 RETURNING import_id"


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A file as the user handed it over."""

    user_id: int
    name: str
    content: bytes


class KnownBalance(NamedTuple):
    """What a statement says an account held."""

    account: str
    money: Money
    taken_at: datetime


class Imports:
    """Imports that are under way; every method may be called again with the same effect."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, import_id: str, user_id: int, name: str, content: bytes) -> None:
        """Keep a file until ``remove``."""
        await self._database.rows(_KEEP, import_id, user_id, name, content)

    async def file(self, import_id: str) -> StatementFile | None:
        """Give a file that is kept."""
        row = await self._database.row(_FILE, import_id)
        return None if row is None else StatementFile(**dict(row))

    async def book(
        self,
        import_id: str,
        source: str,
        found: Sequence[NewTransaction],
        balances: Sequence[KnownBalance] = (),
    ) -> bool:
        """Store what a statement says and is not known yet, all or nothing, and note what that was.

        Returns:
            Whether that was done now; False where an earlier call has done it.

        Raises:
            UnknownImport: No file is kept under this id.
        """
        async with self._database.transaction() as session:
            row = await session.row(_LOCK, import_id)
            if row is None:
                raise UnknownImport(import_id)
            if row["run_id"] is not None:
                return False
            new = await add_in(session, found)
            await session.rows(_NOTE_TRANSACTIONS, [transaction.id for transaction in new], import_id)
            for account, money, taken_at in balances:
                await session.rows(
                    _NOTE_BALANCE, row["user_id"], account, money.currency, taken_at, money.amount, import_id
                )
            await self._note_run(
                session, import_id, source, (row["user_id"], row["name"]), len(found), len(new)
            )
        return True

    async def transactions(self, import_id: str) -> list[Transaction]:
        """Give what an import has added, the oldest first."""
        return [transaction_of(row) for row in await self._database.rows(_OF_IMPORT, import_id)]

    async def undo(self, import_id: str) -> list[int]:
        """Take back what an import added, except what the user has decided on meanwhile; give what is gone."""
        async with self._database.transaction() as session:
            row = await session.row(_LOCK, import_id)
            if row is None or row["run_id"] is None:
                return []
            gone = sorted(
                int(taken["id"]) for taken in await session.rows(_TAKE_TRANSACTIONS_BACK, import_id)
            )
            await session.rows(_RESTORE_BALANCES, import_id)
            await session.rows(_TAKE_BALANCES_BACK, import_id)
            await session.rows(_TAKE_WALLETS_BACK, row["user_id"], row["created_at"])
            await session.rows(_TAKE_RUN_BACK, import_id, row["run_id"])
            details = {"file": row["name"], "removed": len(gone)}
            await record_in(
                session, row["user_id"], "statement.import_undone", "statement", row["run_id"], details
            )
        return gone

    async def remove(self, import_id: str) -> None:
        """Forget a file, and what its import added: from now on that cannot be undone."""
        await self._database.rows(_REMOVE, import_id)

    async def forget_before(self, instant: datetime) -> int:
        """Forget the files of imports that nobody has finished, and give their number."""
        return len(await self._database.rows(_FORGET, instant))

    @staticmethod
    async def _note_run(  # noqa: PLR0917 -- what a run consists of
        session: Session, import_id: str, source: str, file: tuple[int, str], found: int, new: int
    ) -> None:
        row = await session.row(_NOTE_RUN, import_id, source, found, new, found - new)
        assert row is not None
        user_id, name = file
        details = {"file": name, "found": found, "new": new}
        await record_in(session, user_id, "statement.imported", "statement", row["id"], details)
