"""Brings a database to the schema of the ``migrations`` folder, file by file.

Each file runs in a transaction of its own and is recorded with its checksum in ``schema_migrations``. An
advisory lock lets any number of processes start at once: one applies, the others wait and find nothing left to
do. Files are forward only; one that was applied and then edited is refused, because nobody could say what the
database holds.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from midas.errors import MigrationError
from midas.store.connection import connected

if TYPE_CHECKING:
    from collections.abc import Mapping

# Any constant does, as long as nothing else in the database locks with it: the ASCII letters of "midas".
_LOCK: Final = 0x6D69646173

_FILE_NAME: Final = re.compile(r"(?P<version>\d{3})_[a-z0-9_]+\.sql")

_CREATE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the folder."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def default_folder() -> Path:
    """Give the folder beside the source tree, or the copy inside an installed package.

    Raises:
        MigrationError: There is neither.
    """
    package = Path(__file__).parents[1]
    for folder in (package.parents[1] / "migrations", package / "migrations"):
        if any(folder.glob("*.sql")):
            return folder
    raise MigrationError("migrations", f"no such folder beside {package.parents[1]} or in {package}")


def read_folder(folder: Path) -> list[Migration]:
    """Read the files in the order of their numbers, which must be 001, 002, … without a gap.

    Raises:
        MigrationError: There is no file, a name is not ``NNN_verb_noun.sql``, or a number is missing or used twice.
    """
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(path.name, "must be named NNN_verb_noun.sql")
        found.append(Migration(int(match["version"]), path.name, path.read_text(encoding="utf-8")))
    if not found:
        raise MigrationError(str(folder), "holds no migrations")
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise MigrationError(
                migration.name, f"should have number {expected:03}: a number is missing or used twice"
            )
    return found


async def apply(database_url: str, folder: Path | None = None) -> list[str]:
    """Apply what is missing and give the names of the files that were applied now.

    Raises:
        MigrationError: A file is misnamed, was changed after it had been applied, or does not apply; what
            was applied before it stays.
        StoreUnavailable: PostgreSQL does not answer.
    """
    migrations = read_folder(folder or default_folder())
    async with connected(database_url) as connection:
        # Held by the session and not by a transaction: it spans the transactions of all files.
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        try:
            return await _apply_missing(connection, migrations)
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _apply_missing(connection: asyncpg.Connection, migrations: list[Migration]) -> list[str]:
    # Asked first, so that a database that is up to date can be opened by a role that may not create tables.
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        await connection.execute(_CREATE_TABLE)
    rows = await connection.fetch("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    applied = {row["version"]: row for row in rows}
    _check_applied(migrations, applied)
    missing = [migration for migration in migrations if migration.version not in applied]
    for migration in missing:
        await _apply_one(connection, migration)
    return [migration.name for migration in missing]


def _check_applied(migrations: list[Migration], applied: Mapping[int, asyncpg.Record]) -> None:
    for migration in migrations:
        record = applied.get(migration.version)
        if record is not None and record["checksum"] != migration.checksum:
            raise MigrationError(
                migration.name,
                f"was changed after it had been applied as {record['name']}; restore it and write a new file",
            )
    newer = sorted(set(applied) - {migration.version for migration in migrations})
    if newer:
        raise MigrationError(
            applied[newer[0]]["name"],
            "was applied to this database by a newer midas and is not in the folder; update midas",
        )


async def _apply_one(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            # Without arguments asyncpg sends the text as it is, so one call may hold many statements.
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.checksum,
            )
    except asyncpg.PostgresConnectionError:
        raise
    except asyncpg.PostgresError as error:
        raise MigrationError(migration.name, f"does not apply: {error}") from error
