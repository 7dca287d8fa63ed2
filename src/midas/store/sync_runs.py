"""The runs of imports, also of those that failed or died."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from midas.store.connection import Database

_BEGIN_RUN: Final = "INSERT INTO sync_runs (user_id, source, file_name) VALUES ($1, $2, $3) RETURNING id"
_FINISH_RUN: Final = """
    UPDATE sync_runs SET finished_at = now(), outcome = $2, found = $3, added = $4, duplicates = $5
    WHERE id = $1 AND finished_at IS NULL
    """
_RECENT_RUNS: Final = """
    SELECT source, file_name, started_at, finished_at, found, added, duplicates, outcome
    FROM sync_runs WHERE user_id = $1 ORDER BY started_at DESC LIMIT $2
    """
_ABANDON_RUNS: Final = """
    UPDATE sync_runs SET finished_at = now(), outcome = 'abandoned'
    WHERE finished_at IS NULL AND started_at < $1 RETURNING id
    """


class SyncRun(NamedTuple):
    """One import of one file."""

    source: str
    file_name: str
    started_at: datetime
    finished_at: datetime | None
    found: int
    added: int
    duplicates: int
    outcome: str


class SyncRuns:
    """The runs of imports, also of those that failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, user_id: int, source: str, file_name: str) -> int:
        """Note that an import starts, and give the id for ``finish``."""
        row = await self._database.row(_BEGIN_RUN, user_id, source, file_name)
        assert row is not None
        run_id: int = row["id"]
        return run_id

    async def finish(
        self,
        run_id: int,
        outcome: Literal["ok", "error"],
        found: int = 0,
        added: int = 0,
        duplicates: int = 0,
    ) -> None:
        """Note how the import ended."""
        await self._database.rows(_FINISH_RUN, run_id, outcome, found, added, duplicates)

    async def recent(self, user_id: int, limit: int = 10) -> list[SyncRun]:
        """Give a user's imports, the latest first."""
        return [SyncRun(*row) for row in await self._database.rows(_RECENT_RUNS, user_id, limit)]

    async def abandon_started_before(self, instant: datetime) -> int:
        """Close the runs whose process died in the middle, and give their number."""
        return len(await self._database.rows(_ABANDON_RUNS, instant))
