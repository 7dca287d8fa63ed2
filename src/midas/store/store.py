"""The repositories together, over one pool of connections."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from midas.errors import StoreUnavailable
from midas.store.audit import Audit
from midas.store.budgets import Budgets
from midas.store.connection import place_of, pooled
from midas.store.decisions import Decisions
from midas.store.imports import Imports
from midas.store.merchants import Merchants
from midas.store.reports import Reports
from midas.store.sync_runs import SyncRuns
from midas.store.transactions import Transactions
from midas.store.transfers import Transfers
from midas.store.users import Users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from botmetry import Telemetry
    from midas.store.connection import Database

_IS_MIGRATED: Final = "SELECT to_regclass('transactions') IS NOT NULL AS is_migrated"
_ANSWERS: Final = "SELECT 1"


@dataclass(frozen=True, slots=True)
class Store:
    """Everything that midas remembers for ever."""

    database: Database
    users: Users
    transactions: Transactions
    merchants: Merchants
    reports: Reports
    budgets: Budgets
    audit: Audit
    decisions: Decisions
    sync_runs: SyncRuns
    imports: Imports
    transfers: Transfers

    async def check(self) -> None:
        """Ask PostgreSQL for nothing in particular; for readiness checks.

        Raises:
            StoreUnavailable: It does not answer.
        """
        await self.database.row(_ANSWERS)


@asynccontextmanager
async def open_store(database_url: str, telemetry: Telemetry | None = None) -> AsyncIterator[Store]:
    """Connect, and close the connections at the end; with `telemetry` every statement is measured.

    Raises:
        StoreUnavailable: PostgreSQL does not answer, or its database was never migrated.
    """
    async with pooled(database_url, telemetry) as database:
        row = await database.row(_IS_MIGRATED)
        if row is None or not row["is_migrated"]:
            raise StoreUnavailable(
                place_of(database_url), "it holds no tables of midas", "run: midas migrate"
            )
        yield Store(
            database=database,
            users=Users(database),
            transactions=Transactions(database),
            merchants=Merchants(database),
            reports=Reports(database),
            budgets=Budgets(database),
            audit=Audit(database),
            decisions=Decisions(database),
            sync_runs=SyncRuns(database),
            imports=Imports(database),
            transfers=Transfers(database),
        )
