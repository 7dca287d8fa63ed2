"""redis-py observed, against a real Redis."""

from __future__ import annotations

import asyncio
import inspect
import socket
import sys
from uuid import uuid4

import pytest
import redis
import redis.asyncio as redis_asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from botmetry import BotmetryError, LogSettings, MissingExtraError, Telemetry
from botmetry.integrations import redis as integration

OPERATIONS = "redis_operations_total"
SECONDS = "redis_operation_duration_seconds_count"
ERRORS = "redis_connection_errors_total"


async def done(result):
    """Return the result of a client's method, whichever kind of client it is."""
    return await result if inspect.isawaitable(result) else result


@pytest.fixture(name="make_client")
async def _make_client(redis_url):
    made = []

    def make(kind="asyncio", **options):
        cls = redis_asyncio.Redis if kind == "asyncio" else redis.Redis
        made.append(cls.from_url(redis_url, decode_responses=True, **options))
        return made[-1]

    yield make
    for client in made:
        await done(client.aclose() if isinstance(client, redis_asyncio.Redis) else client.close())


@pytest.fixture(name="client", params=["asyncio", "sync"])
def _client(request, make_client, telemetry):
    client = make_client(request.param)
    integration.instrument(client, telemetry)
    return client


async def test_commands_are_counted_and_timed(client, seen):
    """Each command counts under its name with its outcome and its duration."""
    await done(client.set("greeting", "hello"))
    assert await done(client.get("greeting")) == "hello"
    await done(client.get("greeting"))
    await done(client.config_get("maxmemory"))

    assert seen.nonzero(OPERATIONS) == {("SET", "ok"): 1, ("GET", "ok"): 2, ("CONFIG", "ok"): 1}
    assert seen.nonzero(SECONDS) == {("SET",): 1, ("GET",): 2, ("CONFIG",): 1}


async def test_a_pipeline_is_one_operation(client, seen):
    """A pipeline counts once, as MULTI when it is a transaction, and not at all when it is empty."""
    transaction = client.pipeline()
    transaction.set("a", 1).incr("a")
    assert await done(transaction.execute()) == [True, 2]
    plain = client.pipeline(transaction=False)
    plain.get("a").get("b")
    assert await done(plain.execute()) == ["2", None]
    await done(client.pipeline().execute())

    assert seen.nonzero(OPERATIONS) == {("MULTI", "ok"): 1, ("PIPELINE", "ok"): 1}


async def test_a_lost_race_is_no_error(client, seen):
    """WATCH and what follows it count one by one, and the WatchError of a lost race counts as ok."""
    pipeline = client.pipeline()
    await done(pipeline.watch("balance"))
    await done(pipeline.get("balance"))
    await done(client.set("balance", 5))
    pipeline.multi()
    pipeline.set("balance", 6)
    with pytest.raises(redis.WatchError):
        await done(pipeline.execute())

    counted = seen.nonzero(OPERATIONS)
    assert counted == {("WATCH", "ok"): 1, ("GET", "ok"): 1, ("SET", "ok"): 1, ("MULTI", "ok"): 1}


async def test_loading_a_script_is_no_error(client, seen, log_lines):
    """The NoScriptError after which redis-py loads the script counts as ok and is not logged as an error."""
    script = client.register_script(f"return ARGV[1] -- {uuid4().hex}")  # no run before knows it
    assert await done(script(args=["x"])) == "x"

    assert seen.nonzero(OPERATIONS) == {("EVALSHA", "ok"): 2, ("SCRIPT", "ok"): 1}
    assert {line["level"] for line in log_lines("redis.operation_executed")} == {"debug"}


async def test_waiting_is_counted_and_not_timed(client, seen, log_lines):
    """Commands that wait for data have an outcome and no duration, with or without data."""
    await done(client.blpop(["empty"], timeout=0.01))
    await done(client.rpush("full", "item"))
    await done(client.blpop(["full"], timeout=1))
    await done(client.xadd("stream", {"BLOCK": "no option"}))
    await done(client.xgroup_create("stream", "BLOCK", id="0"))
    await done(client.xreadgroup("BLOCK", "STREAMS", {"stream": ">"}, block=10))
    await done(client.xreadgroup("BLOCK", "STREAMS", {"stream": "0"}))

    assert seen.value(OPERATIONS, operation="BLPOP", outcome="ok") == 2
    assert seen.value(OPERATIONS, operation="XREADGROUP", outcome="ok") == 2
    assert seen.value(SECONDS, operation="BLPOP") is None
    assert seen.value(SECONDS, operation="XREADGROUP") == 1
    assert "BLPOP" not in {line["operation"] for line in log_lines("redis.operation_executed")}


async def test_a_cancelled_wait_is_cancelled(make_client, telemetry, seen, eventually):
    """Cancelling a task that waits for data is neither an error nor a broken connection."""
    client = make_client()
    integration.instrument(client, telemetry)
    waiting = asyncio.create_task(client.blpop(["empty"], timeout=0))
    other = make_client()

    async def blocked():
        return (await other.info("clients"))["blocked_clients"]

    await eventually(blocked)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert seen.nonzero(OPERATIONS) == {("BLPOP", "cancelled"): 1}
    assert seen.value(ERRORS) == 0


@pytest.mark.parametrize("kind", ["asyncio", "sync"])
async def test_a_server_that_is_away_is_a_connection_error(kind, telemetry, seen):
    """A refused connection counts as a connection error, for waiting commands too."""
    cls, retry = (
        (redis_asyncio.Redis, redis_asyncio.retry.Retry) if kind == "asyncio" else (redis.Redis, Retry)
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen: whoever calls is refused
        client = cls(host="127.0.0.1", port=taken.getsockname()[1], retry=retry(NoBackoff(), 0))
        integration.instrument(client, telemetry)
        with pytest.raises(redis.ConnectionError):
            await done(client.get("a"))
        with pytest.raises(redis.ConnectionError):
            await done(client.blpop(["a"], timeout=1))

    assert seen.value(ERRORS) == 2
    assert seen.nonzero(OPERATIONS) == {("GET", "error"): 1, ("BLPOP", "error"): 1}


async def test_a_server_that_does_not_answer_is_a_timeout(make_client, telemetry, seen):
    """A command that gets no answer in time has the outcome timeout, and its connection counts as broken."""
    admin = make_client()
    client = make_client(socket_timeout=0.5, retry=redis_asyncio.retry.Retry(NoBackoff(), 0))
    integration.instrument(client, telemetry)
    await client.ping()
    await admin.client_pause(2_500)
    with pytest.raises(redis.TimeoutError):
        await client.get("a")
    await admin.ping()  # answered when the pause is over

    assert seen.value(OPERATIONS, operation="GET", outcome="timeout") == 1
    assert seen.value(ERRORS) == 1


async def test_neither_keys_nor_values_are_told(client, seen, log_lines):
    """Keys, values and the arguments that Redis or redis-py quote in errors appear in no metric and no log line."""
    await done(client.set("key-of-alice", "value-of-alice"))
    with pytest.raises(redis.ResponseError):
        await done(client.lpush("key-of-alice", "another-of-alice"))
    with pytest.raises(redis.ResponseError):
        await done(client.execute_command("NOSUCH", "argument-of-alice"))
    pipeline = client.pipeline()
    pipeline.lpush("key-of-alice", "more-of-alice")
    with pytest.raises(redis.ResponseError, match="key-of-alice"):
        await done(pipeline.execute())

    assert seen.value(OPERATIONS, operation="LPUSH", outcome="error") == 1
    assert seen.value(OPERATIONS, operation="MULTI", outcome="error") == 1
    lines = log_lines()
    assert "of-alice" not in seen.text()
    assert "of-alice" not in repr(lines)
    refused = next(line for line in lines if line.get("operation") == "LPUSH")
    assert (refused["level"], refused["error_type"]) == ("error", "ResponseError")
    assert refused["error_code"] == "WRONGTYPE"


async def test_made_up_names_do_not_fill_the_memory(client, seen):
    """Command names past a few hundred, and names that are none, count as OTHER."""
    for number in range(300):
        with pytest.raises(redis.ResponseError):
            await done(client.execute_command(f"MADEUP{number}"))
    with pytest.raises(redis.ResponseError):
        await done(client.execute_command("7 is no name"))

    names = {operation for operation, _ in seen.nonzero(OPERATIONS)}
    assert len(names) <= 257
    assert seen.value(OPERATIONS, operation="OTHER", outcome="error") >= 45


async def test_the_pool_is_shown(make_client, telemetry, seen):
    """Idle, used and possible connections are read at scrape time, and are 0 after the undo."""
    client = make_client(max_connections=7)
    undo = integration.instrument(client, telemetry)
    await client.ping()
    pipeline = client.pipeline()
    await pipeline.watch("a")
    await telemetry.refresh()
    shown = {state: seen.value("redis_pool_connections", state=state) for state in ("idle", "in_use", "max")}
    await pipeline.reset()
    undo()
    await telemetry.refresh()

    assert shown == {"idle": 0, "in_use": 1, "max": 7}
    assert seen.nonzero("redis_pool_connections") == {}


async def test_it_can_be_taken_back(client, telemetry, seen):
    """After the undo nothing is counted, doing it twice does no harm, and observing again works."""
    undo = integration.instrument(client, telemetry)
    pipeline = client.pipeline()
    pipeline.get("a")
    undo()
    undo()
    assert type(client) in {redis.Redis, redis_asyncio.Redis}
    await done(client.get("a"))
    await done(pipeline.execute())
    assert seen.nonzero(OPERATIONS) == {}
    integration.instrument(client, telemetry)
    await done(client.get("a"))

    assert seen.nonzero(OPERATIONS) == {("GET", "ok"): 1}


async def test_observing_twice_is_observing_once(client, telemetry, seen):
    """A second call gives the same undo and counts nothing double."""
    assert integration.instrument(client, telemetry) is integration.instrument(client, telemetry)
    await done(client.get("a"))

    assert seen.nonzero(OPERATIONS) == {("GET", "ok"): 1}


async def test_another_telemetry_is_refused(client):
    """One client is observed by one telemetry object; the error says how to go on."""
    other = Telemetry("other-bot", log=LogSettings(output="none"))
    with pytest.raises(BotmetryError, match="call the undo"):
        integration.instrument(client, other)


async def test_other_clients_are_left_alone(client, make_client, seen):
    """Only the client that was given is observed, not its class."""
    await make_client().get("a")
    make_client("sync").get("a")

    assert seen.nonzero(OPERATIONS) == {}


async def test_a_broken_telemetry_does_not_reach_the_client(client, telemetry, seen, monkeypatch):
    """When the telemetry itself fails, commands work, and the failure is counted."""

    def broken(operation):
        raise RuntimeError("telemetry is broken")

    monkeypatch.setattr(telemetry.redis, "operation", broken)

    assert await done(client.set("a", 1))
    assert seen.value("telemetry_errors_total", component="integrations") == 1


def test_a_wrong_target_is_refused(make_client, telemetry):
    """Anything that is no client is an error that says what was given."""
    for target in (object(), make_client("sync").pipeline()):
        with pytest.raises(TypeError, match=type(target).__name__):
            integration.instrument(target, telemetry)


def test_a_missing_library_is_named(telemetry, monkeypatch):
    """Without redis-py the error is the command that installs it."""
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'botmetry\[redis\]'"):
        integration.instrument(object(), telemetry)
