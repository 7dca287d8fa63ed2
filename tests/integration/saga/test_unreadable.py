"""A saga whose record a program cannot read, a newer one's or a damaged one, holds up none of the others."""

from __future__ import annotations

import asyncio
import json

import pytest

from midas.saga import SagaState, SagaStep, UnreadableSaga
from midas.saga.keys import SagaKeys

KEYS = SagaKeys("order")
NEWER = '{"state": "FROM_A_NEWER_PROGRAM"}'


async def spoil(redis, saga_id, field="step:a", value=NEWER):
    await redis.hset(KEYS.saga(saga_id), field, value)


@pytest.fixture(name="ran")
def _ran():
    return []


@pytest.fixture(name="orchestrator")
def _orchestrator(orchestrate, ran, clock):
    return orchestrate([SagaStep("a", lambda context: ran.append(context["n"]), None)], clock=clock)


async def test_recovery_goes_on_with_the_others(  # noqa: PLR0917
    orchestrate, redis, ran, clock, telemetry, log_file
):
    """However many of them stand in front, the loop takes over what it can read, and says what it cannot."""
    orchestrator = orchestrate(
        [SagaStep("a", lambda context: ran.append(context["n"]), None)], clock=clock, concurrency=2
    )
    for number in range(4):
        await orchestrator.start({"n": -1}, saga_id=f"bad-{number}")
        await spoil(redis, f"bad-{number}")
    clock.advance(1.0)
    stop = asyncio.Event()
    recovering = asyncio.create_task(orchestrator.run_recovery(stop))
    for number in range(5):
        await orchestrator.start({"n": number}, saga_id=f"good-{number}")
    async with asyncio.timeout(60):
        while sorted(ran) != [0, 1, 2, 3, 4]:
            await asyncio.sleep(0.01)
            clock.advance(0.1)
    stop.set()
    await recovering
    telemetry.close()
    lines = [json.loads(line) for line in log_file.read_text("utf-8").splitlines()]
    told = [line for line in lines if line["event"] == "saga.unreadable"]
    assert {line["saga_id"] for line in told} == {f"bad-{number}" for number in range(4)}
    assert {line["level"] for line in told} == {"error"}
    assert len(told) == 4


async def test_it_is_left_to_who_can_read_it(orchestrator, redis, ran, clock):
    """It keeps its place in the line, counts no deaths, shows as overdue, and runs once it can be read."""
    await orchestrator.start({"n": 1}, saga_id="s")
    await spoil(redis, "s")
    clock.advance(30.0)
    assert await orchestrator.recover() == 0
    assert await orchestrator.recover() == 0
    assert (await orchestrator.census()).overdue_seconds == 30.0
    assert (await orchestrator.statistics())["recovered"] == 0
    assert await redis.hget(KEYS.saga("s"), "owner") == b""
    assert ran == []

    await redis.hdel(KEYS.saga("s"), "step:a")
    orchestrator._unreadable["s"] = 0.0  # its time to be looked at again
    assert await orchestrator.recover() == 1
    assert (await orchestrator.show("s")).state is SagaState.COMPLETED
    assert ran == [1]
    assert orchestrator._unreadable == {}


async def test_recovering_once_sees_those_behind_it(orchestrate, redis, ran, clock):
    """One look may find nothing but what cannot be read; `recover` looks again."""
    step = SagaStep("a", lambda context: ran.append(context["n"]), None)
    orchestrator = orchestrate([step], clock=clock, concurrency=1)
    for saga_id in ("bad", "good"):
        await orchestrator.start({"n": 1}, saga_id=saga_id)
        clock.advance(1.0)
    await spoil(redis, "bad")
    assert await orchestrator.recover() == 1
    assert ran == [1]


@pytest.mark.parametrize(
    ("field", "value"),
    [("step:a", NEWER), ("epoch", "many"), ("carrier", "["), ("context", b"\xc1"), ("order", b"\xff")],
)
async def test_it_is_listed_as_unreadable(orchestrator, redis, field, value):
    """With what is known of it, beside all others; who asks for itself is told why, and whose result it is, too."""
    for saga_id in ("bad", "good"):
        await orchestrator.start({"n": 1}, saga_id=saga_id)
    await orchestrator.recover()
    await spoil(redis, "bad", field, value)
    views = {view.saga_id: view for view in await orchestrator.list()}
    assert views.keys() == {"bad", "good"}
    assert views["good"].is_readable
    assert (views["bad"].is_readable, views["bad"].state) == (False, SagaState.COMPLETED)
    assert views["bad"].error.startswith("unreadable: ")
    with pytest.raises(UnreadableSaga, match="saga bad cannot be read"):
        await orchestrator.show("bad")


async def test_who_waits_for_it_is_told(orchestrator, redis, clock):
    """Its result is an error of ours that names it, and no endless wait."""
    await orchestrator.start({"n": 1}, saga_id="s")
    await spoil(redis, "s")
    async with asyncio.timeout(60):
        with pytest.raises(UnreadableSaga, match="FROM_A_NEWER_PROGRAM"):
            await orchestrator.result("s")
