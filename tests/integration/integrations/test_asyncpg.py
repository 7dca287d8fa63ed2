"""asyncpg observed, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import io
import sys

import asyncpg
import pytest

from botmetry import BotmetryError, LogSettings, MissingExtraError, Telemetry
from botmetry.integrations import asyncpg as integration
from midas.demo.servers import PostgresServer

QUERIES = "db_queries_total"
SECONDS = "db_query_duration_seconds_count"
WAITS = "db_pool_wait_seconds_count"


@pytest.fixture(name="pool")
async def _pool(empty_postgres_url):
    async with asyncpg.create_pool(empty_postgres_url, min_size=1, max_size=2) as pool:
        await pool.execute("CREATE TABLE accounts (id int PRIMARY KEY, owner text)")
        yield pool


@pytest.fixture(name="observed")
def _observed(pool, telemetry):
    integration.instrument(pool, telemetry)
    return pool


def queries(seen):
    """Return the counts by (operation, outcome, table)."""
    return seen.nonzero(QUERIES)


async def test_statements_are_counted_and_timed(observed, seen):
    """Each statement counts under its verb and table, whether the pool or a connection runs it."""
    await observed.execute("INSERT INTO accounts VALUES ($1, $2)", 1, "alice")
    assert await observed.fetchval("SELECT owner FROM public.accounts WHERE id = $1", 1) == "alice"
    async with observed.acquire() as connection:
        assert len(await connection.fetch("SELECT * FROM accounts")) == 1
        assert (await connection.fetchrow("SELECT * FROM accounts"))["id"] == 1
        await connection.executemany("INSERT INTO accounts VALUES ($1, $2)", [(2, "b"), (3, "c")])
    connection = await observed.acquire()
    await connection.execute("DELETE FROM accounts WHERE id = 2")
    await observed.release(connection)

    assert queries(seen) == {
        ("INSERT", "ok", "accounts"): 2,
        ("SELECT", "ok", "accounts"): 3,
        ("DELETE", "ok", "accounts"): 1,
    }
    assert seen.value(SECONDS, operation="SELECT", table="accounts") == 3


async def test_transactions_are_counted(observed, seen):
    """The statements that begin and end a transaction count, without a table."""
    async with observed.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE accounts SET owner = 'x'")

    assert queries(seen) == {
        ("BEGIN", "ok", "none"): 1,
        ("UPDATE", "ok", "accounts"): 1,
        ("COMMIT", "ok", "none"): 1,
    }


async def test_prepared_statements_are_counted(observed, seen):
    """Each run of a prepared statement counts; preparing it does not."""
    async with observed.acquire() as connection:
        prepared = await connection.prepare("SELECT owner FROM accounts WHERE id = $1")
        await prepared.fetch(1)
        await prepared.fetchval(1)
        await prepared.fetchrow(1)

    assert queries(seen) == {("SELECT", "ok", "accounts"): 3}


async def test_copies_are_counted(observed, seen):
    """COPY in all its forms counts under the table that is copied."""
    await observed.copy_records_to_table("accounts", records=[(1, "a")], schema_name="public")
    await observed.copy_from_table("accounts", output=io.BytesIO())
    await observed.copy_to_table("accounts", source=io.BytesIO(b"2\tb\n"))
    await observed.copy_from_query("SELECT * FROM accounts", output=io.BytesIO())

    assert queries(seen) == {("COPY", "ok", "accounts"): 4}


async def test_cleaning_a_connection_is_not_counted(observed, seen):
    """What the pool does to a connection that is given back is no statement of the program."""
    for _ in range(3):
        async with observed.acquire():
            continue

    assert queries(seen) == {}
    assert seen.value(WAITS) == 3


async def test_an_error_is_named_and_not_quoted(observed, seen, log_lines):
    """A failing statement counts as error; its log line has class and SQLSTATE, and nothing of the row."""
    for _ in range(2):
        try:
            await observed.execute("INSERT INTO accounts VALUES (4711, 'alice-in-the-row')")
        except asyncpg.UniqueViolationError as error:
            assert "4711" in str(error)
    with pytest.raises(asyncpg.DataError, match="alice-as-argument"):
        await observed.fetch("SELECT * FROM accounts WHERE id = $1", "alice-as-argument")

    assert queries(seen)["INSERT", "error", "accounts"] == 1
    lines = log_lines()
    assert "4711" not in repr(lines)
    assert "alice" not in repr(lines)
    failed = [line for line in lines if line["level"] == "error"]
    assert [line["error_type"] for line in failed] == ["UniqueViolationError", "DataError"]
    assert failed[0]["error_code"] == "23505"


@pytest.mark.parametrize("limit", ["client", "server"])
async def test_a_slow_statement_is_a_timeout(limit, observed, seen):
    """A statement that is cut off has the outcome timeout, whoever cut it off."""
    async with observed.acquire() as connection:
        if limit == "client":
            with pytest.raises(TimeoutError):
                await connection.execute("SELECT pg_sleep(30)", timeout=0.05)
        else:
            await connection.execute("SET statement_timeout = '50ms'")
            with pytest.raises(asyncpg.QueryCanceledError):
                await connection.execute("SELECT pg_sleep(30)")

    assert queries(seen)["SELECT", "timeout", "none"] == 1


async def test_a_cancelled_statement_is_cancelled(observed, seen, eventually):
    """Cancelling the task that waits for a statement is no error."""
    running_now = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    )
    async with observed.acquire() as connection:
        running = asyncio.create_task(connection.execute("SELECT pg_sleep(30), count(*) FROM accounts"))
        await eventually(lambda: observed.fetchval(running_now))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert queries(seen)["SELECT", "cancelled", "accounts"] == 1


async def test_the_wait_for_a_connection_is_observed(observed, seen, eventually):
    """A wait that succeeds and a wait that is given up are both observed."""
    first, second = await observed.acquire(), await observed.acquire()
    with pytest.raises(TimeoutError):
        await observed.acquire(timeout=0.05)
    await observed.release(first)
    await observed.release(second)

    assert seen.value(WAITS) == 3
    assert seen.value("db_pool_wait_seconds_sum") >= 0.05


async def _awaited(pool, **options):
    await pool.acquire(**options)


async def _entered(pool, **options):
    async with pool.acquire(**options):
        raise AssertionError


async def _by_a_statement(pool, **_):
    await pool.fetchval("SELECT 1")


@pytest.fixture(name="own_server")
def _own_server(tmp_path):
    """A server of this test's own, to be stopped."""
    with PostgresServer(tmp_path / "postgres", durable=False) as server:
        yield server


async def test_a_server_that_is_away_is_counted_until_it_is_back(own_server, telemetry, seen, log_lines):
    """Whoever asks the pool while PostgreSQL is down counts as a failed CONNECT; when it is back, nobody does."""
    async with asyncpg.create_pool(own_server.url, min_size=1, max_size=1) as pool:
        integration.instrument(pool, telemetry)
        await asyncio.to_thread(own_server.stop)
        for ask in (_awaited, _entered, _by_a_statement):
            with pytest.raises(OSError, match="refused|failed"):
                await ask(pool)
        away = queries(seen)
        await asyncio.to_thread(own_server.start)
        assert await pool.fetchval("SELECT 1") == 1

    assert away == {("CONNECT", "error", "none"): 3}
    assert queries(seen) == {**away, ("SELECT", "ok", "none"): 1}
    assert seen.value(SECONDS, operation="CONNECT", table="none") == 3
    assert seen.value(WAITS) == 4
    password = own_server.url.split(":")[2].split("@")[0]
    failed = [line for line in log_lines("db.query_executed") if line["level"] == "error"]
    assert [line["operation"] for line in failed] == ["CONNECT"] * 3
    assert password not in repr(failed)


async def test_a_refusal_is_named_and_not_quoted(empty_postgres_url, telemetry, seen, log_lines):
    """What PostgreSQL says to one that it does not let in names users and databases: only its class is told."""
    nowhere = f"{empty_postgres_url}-that-nobody-made"
    async with asyncpg.create_pool(nowhere, min_size=0, max_size=1) as pool:
        integration.instrument(pool, telemetry)
        with pytest.raises(asyncpg.InvalidCatalogNameError, match="that-nobody-made"):
            await pool.acquire()

    assert queries(seen) == {("CONNECT", "error", "none"): 1}
    (line,) = log_lines("db.query_executed")
    assert (line["error_type"], line["error_code"]) == ("InvalidCatalogNameError", "3D000")
    assert "that-nobody-made" not in repr(line)


@pytest.mark.parametrize("ask", [_awaited, _entered])
async def test_a_connection_that_does_not_come_free_in_time_is_a_timeout(ask, observed, seen):
    """A pool that is used up counts as a CONNECT that timed out, with the time that was waited."""
    async with observed.acquire(), observed.acquire():
        with pytest.raises(TimeoutError):
            await ask(observed, timeout=0.05)

    assert queries(seen) == {("CONNECT", "timeout", "none"): 1}
    assert seen.value("db_query_duration_seconds_sum", operation="CONNECT", table="none") >= 0.05


@pytest.mark.parametrize("ask", [_awaited, _entered])
async def test_a_wait_that_is_cancelled_is_no_failure(ask, observed, seen, eventually):
    """Cancelling the task that waits for a connection counts its wait and no failed CONNECT."""
    async with observed.acquire(), observed.acquire():
        waiting = asyncio.create_task(ask(observed))
        await eventually(lambda: observed._queue._getters)  # it waits
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert queries(seen) == {}
    assert seen.value(WAITS) == 3


async def test_failed_connections_have_a_zero_before_the_first(observed, seen):
    """The counters that the alert reads exist from the start: increase() does not see the birth of one."""
    for outcome in ("error", "timeout"):
        assert seen.value(QUERIES, operation="CONNECT", table="none", outcome=outcome) == 0


async def test_after_the_undo_no_failure_is_counted(pool, telemetry, seen):
    """A pool that is no longer observed fails unseen."""
    undo = integration.instrument(pool, telemetry)
    asked = pool.acquire(timeout=0.05)
    async with pool.acquire(), pool.acquire():
        undo()
        with pytest.raises(TimeoutError):
            await asked

    assert queries(seen) == {}


async def test_the_pool_is_shown(pool, telemetry, seen):
    """Idle, used and possible connections are read at scrape time, and are 0 after the undo."""
    undo = integration.instrument(pool, telemetry)
    async with pool.acquire():
        await telemetry.refresh()
        shown = seen.nonzero("db_pool_connections")
    undo()
    await telemetry.refresh()

    assert shown == {("in_use",): 1, ("max",): 2}
    assert seen.nonzero("db_pool_connections") == {}


async def test_a_single_connection_can_be_observed(empty_postgres_url, telemetry, seen):
    """A connection without a pool is observed alike."""
    connection = await asyncpg.connect(empty_postgres_url)
    undo = integration.instrument(connection, telemetry)
    await connection.execute("SELECT 1")
    undo()
    await connection.execute("SELECT 1")
    assert type(connection) is asyncpg.Connection
    await connection.close()

    assert queries(seen) == {("SELECT", "ok", "none"): 1}


async def test_it_can_be_taken_back(pool, telemetry, seen):
    """After the undo nothing is counted, doing it twice does no harm, and observing again works."""
    undo = integration.instrument(pool, telemetry)
    async with pool.acquire() as connection:
        prepared = await connection.prepare("SELECT * FROM accounts")
        undo()
        undo()
        assert type(pool) is asyncpg.Pool
        await prepared.fetch()
        await connection.execute("SELECT 1")
        await connection.copy_from_table("accounts", output=io.BytesIO())
    await pool.execute("SELECT 1")
    assert queries(seen) == {}
    integration.instrument(pool, telemetry)
    await pool.execute("SELECT 1")

    assert queries(seen) == {("SELECT", "ok", "none"): 1}


async def test_a_pool_that_is_not_open_yet_can_be_observed(empty_postgres_url, telemetry, seen):
    """A pool may be observed before it connects."""
    pool = asyncpg.create_pool(empty_postgres_url, min_size=1, max_size=1)
    integration.instrument(pool, telemetry)
    async with pool:
        await pool.fetchval("SELECT 1")

    assert queries(seen) == {("SELECT", "ok", "none"): 1}


async def test_observing_twice_is_observing_once(observed, telemetry, seen):
    """A second call gives the same undo and counts nothing double; another telemetry is refused."""
    assert integration.instrument(observed, telemetry) is integration.instrument(observed, telemetry)
    await observed.execute("SELECT 1")
    other = Telemetry("other-bot", log=LogSettings(output="none"))
    with pytest.raises(BotmetryError, match="call the undo"):
        integration.instrument(observed, other)

    assert queries(seen) == {("SELECT", "ok", "none"): 1}


async def test_a_broken_telemetry_does_not_reach_the_database(observed, telemetry, seen, monkeypatch):
    """When the telemetry itself fails, statements work, and the failure is counted."""

    def broken(operation, table):
        raise RuntimeError("telemetry is broken")

    monkeypatch.setattr(telemetry.database, "query", broken)

    assert await observed.fetchval("SELECT 1") == 1
    assert seen.value("telemetry_errors_total", component="integrations") == 1


async def test_a_wrong_target_is_refused(pool, telemetry):
    """Anything but a pool or a connection of its own is an error that says what was given."""
    async with pool.acquire() as pooled:
        for target in (object(), pooled):
            with pytest.raises(TypeError, match=type(target).__name__):
                integration.instrument(target, telemetry)


def test_a_missing_library_is_named(telemetry, monkeypatch):
    """Without asyncpg the error is the command that installs it."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'botmetry\[asyncpg\]'"):
        integration.instrument(object(), telemetry)
