"""A PostgreSQL that is away is one clear error without a secret, and its return is enough."""

import asyncio
import time

import asyncpg
import pytest

from botmetry import LogSettings, Telemetry
from midas.demo.servers import PostgresServer
from midas.errors import MidasError, StoreUnavailable
from midas.store import migrations, open_store
from midas.store.connection import UNAVAILABLE, place_of

DEADLINE = 60.0
FAILED_CONNECTIONS = 'db_queries_total{operation="CONNECT",table="none",outcome="error"}'


@pytest.fixture(name="own_server")
def _own_server(tmp_path):
    """A server of this test's own, to be stopped."""
    with PostgresServer(tmp_path / "postgres", durable=False) as server:
        yield server


async def eventually(attempt):
    """Repeat until it succeeds, for some seconds at most."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return await attempt()
        except MidasError:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)


async def test_the_pool_survives_a_restart(own_server):
    """While PostgreSQL is down each call is StoreUnavailable; after its return the same store works."""
    await migrations.apply(own_server.url)
    async with open_store(own_server.url) as store:
        await store.users.ensure(1, "Ada", 1)
        await asyncio.to_thread(own_server.stop)
        for call in (store.users.get(1), store.transactions.recent(1), store.check()):
            with pytest.raises(StoreUnavailable):
                await call
        await asyncio.to_thread(own_server.start)

        assert (await eventually(lambda: store.users.get(1))).display_name == "Ada"


async def test_an_outage_is_counted(own_server):
    """While PostgreSQL is down each call of the store counts as a failed connection, which is what calls somebody."""
    await migrations.apply(own_server.url)
    telemetry = Telemetry(service="midas-test", log=LogSettings(output="none"))
    async with open_store(own_server.url, telemetry) as store:
        assert f"{FAILED_CONNECTIONS} 0.0" in telemetry.render().decode()
        await asyncio.to_thread(own_server.stop)
        for call in (store.users.get(1), store.check()):
            with pytest.raises(StoreUnavailable):
                await call
        shown = telemetry.render().decode()

    assert f"{FAILED_CONNECTIONS} 2.0" in shown


async def test_a_call_under_way_when_the_server_crashes_is_unavailable(own_server):
    """SIGKILL in the middle of a statement is the same clear error, and the next server is used."""
    await migrations.apply(own_server.url)
    async with open_store(own_server.url) as store:
        running = asyncio.create_task(store.database.rows("SELECT pg_sleep(60)"))
        await eventually_running(store)
        own_server.kill()
        with pytest.raises(StoreUnavailable):
            await running
        await asyncio.to_thread(own_server.start)

        await eventually(store.check)


async def eventually_running(store):
    query = (
        "SELECT count(*) AS n FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
    )
    end = time.monotonic() + DEADLINE
    while (await store.database.row(query))["n"] == 0:
        assert time.monotonic() < end


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: url.replace("/postgres", "/nowhere"), "does not exist"),
        (lambda url: url.replace("midas:", "nobody:"), "authentication failed"),
        (lambda url: url.replace(url.split("@")[1].split("/")[0], "127.0.0.1:1"), "refused"),
    ],
    ids=["database", "user", "port"],
)
async def test_a_wrong_address_is_one_line_without_the_password(own_server, change, reason):
    """The error names host, port and database, says what is wrong, and repeats no password."""
    with pytest.raises(StoreUnavailable, match=reason) as caught:
        async with open_store(change(own_server.url)):
            raise AssertionError

    password = own_server.url.split(":")[2].split("@")[0]
    message = str(caught.value)
    assert "127.0.0.1:" in message
    assert "\n" not in message
    assert password not in message


async def test_a_server_that_is_silent_is_given_up(unused_silent_port, monkeypatch):
    """A host that takes the connection and says nothing is an error after the connect timeout."""
    monkeypatch.setattr("midas.store.connection.CONNECT_SECONDS", 0.2)
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        async with open_store(f"postgresql://u:p@127.0.0.1:{unused_silent_port}/d"):
            raise AssertionError


@pytest.fixture(name="unused_silent_port")
async def _unused_silent_port():
    async def say_nothing(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:secret@db:5433/midas", "db:5433/midas"),
        ("postgresql://db/midas?password=secret", "db:5432/midas"),
        ("postgresql:///midas?host=/run/postgresql", "/run/postgresql:5432/midas"),
        ("postgresql://u:secret@db:port/midas", "an address that cannot be read"),
    ],
)
def test_the_place_is_shown_without_secrets(url, place):
    """Messages name where PostgreSQL is, and nothing that opens it."""
    assert place_of(url) == place


def test_every_error_of_asyncpg_is_either_temporary_or_a_fault_of_ours():
    """The classes that say "not now" are decided on one by one; a new branch of the tree must be looked at."""
    branches = {
        error
        for error in vars(asyncpg).values()
        if isinstance(error, type)
        and issubclass(error, asyncpg.PostgresError)
        and error.__bases__[0] in (asyncpg.PostgresError, asyncpg.FatalPostgresError)
    }
    temporary = {error for error in branches if issubclass(error, UNAVAILABLE)}

    assert {error.__name__ for error in temporary} == {
        "PostgresConnectionError",
        "OperatorInterventionError",
        "InsufficientResourcesError",
        "InvalidAuthorizationSpecificationError",
        "InvalidCatalogNameError",
    }
    assert len(branches) > 30


async def test_statements_and_the_pool_are_observed(postgres_url):
    """With telemetry every statement is counted under verb and table, and the pool's state is asked for."""
    telemetry = Telemetry(service="midas-test", log=LogSettings(output="none"))
    async with open_store(postgres_url, telemetry) as store:
        await store.users.ensure(1, "Ada", 1)
        await store.transactions.recent(1)
        await telemetry.refresh()
        shown = telemetry.render().decode()

    assert 'db_queries_total{operation="INSERT",table="users",outcome="ok"} 1.0' in shown
    assert 'db_queries_total{operation="SELECT",table="transactions",outcome="ok"} 1.0' in shown
    assert 'db_pool_connections{state="max"} 10.0' in shown
