"""A saga has one owner at a time, who can write nothing once somebody else owns it, and others go on where it stops."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from midas.demo.servers import RedisServer
from midas.errors import QueueUnavailable
from midas.redis import Availability, Sender
from midas.saga import (
    OrchestratorClosed,
    SagaConfig,
    SagaOrchestrator,
    SagaState,
    SagaStep,
    StepKind,
    StepState,
    Terminal,
    Wait,
    current_step,
)

from .world import Died, MortalSender, check_invariants

LEASE = 2.0  # shorter ones lapse by themselves on a busy machine


class Door:
    """An action that stands still until it is let through; a second run walks in."""

    def __init__(self) -> None:
        self.runs = []
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, _) -> None:
        self.runs.append(current_step())
        if len(self.runs) == 1:
            self.reached.set()
            await self.opened.wait()


@pytest.fixture(name="door")
def _door():
    return Door()


async def test_an_owner_that_wakes_up_too_late_can_write_nothing(orchestrate, door, clock, telemetry):
    """Its step ran under the key of the one who took over; its checkpoint is refused and counted, and it stops."""
    after = []
    steps = [SagaStep("a", door, None), SagaStep("b", lambda _: after.append(current_step().epoch), None)]
    sleeper, heir = orchestrate(steps, clock=clock), orchestrate(steps, clock=clock)
    waiting = asyncio.create_task(sleeper.execute({}, saga_id="s"))
    await door.reached.wait()
    run = sleeper._runs["s"]
    clock.advance(sleeper.config.lease_seconds + 1)

    assert await heir.recover() == 1
    ended = await heir.show("s")
    door.opened.set()
    await asyncio.wait({run})
    result = await asyncio.wait_for(waiting, 60)

    assert result.state is SagaState.COMPLETED
    assert [(r.idempotency_key, r.attempt, r.epoch) for r in door.runs] == [
        ("s:a:action", 1, 1),
        ("s:a:action", 2, 2),
    ]
    assert after == [2]
    assert (await heir.statistics())["refused"] == 1
    assert 'saga_ownership_lost_total{saga="order"} 1.0' in telemetry.render().decode()
    assert (await heir.show("s")).history == ended.history
    assert [line.state for line in ended.history if line.step == "a"] == [
        "EXECUTING",
        "UNKNOWN",
        "EXECUTING",
        "COMPLETED",
    ]


async def test_who_learns_that_it_was_lost_stops_at_once(orchestrate, door, redis):
    """The keeper's next renewal says so, and the step is cancelled long before its end."""
    steps = [SagaStep("a", door, None)]
    sleeper = orchestrate(steps, lease_seconds=0.6)
    waiting = asyncio.create_task(sleeper.execute({}, saga_id="s"))
    await door.reached.wait()
    run = sleeper._runs["s"]
    await redis.hset("{saga:order}:saga:s", mapping={"epoch": 2, "owner": "somebody else"})
    async with asyncio.timeout(60):
        await asyncio.wait({run})
    assert not door.opened.is_set()
    waiting.cancel()


async def test_a_blocked_loop_keeps_its_sagas(orchestrate):
    """A step that blocks the event loop for three leases is nobody else's afterwards."""

    async def block(_):
        time.sleep(3 * LEASE)  # noqa: ASYNC251 -- blocking the loop is what this is about

    steps = [SagaStep("block", block)]
    owner, other = orchestrate(steps, lease_seconds=LEASE), orchestrate(steps, lease_seconds=LEASE)
    await other.open()
    running = asyncio.create_task(owner.execute({}))
    recovered = 0
    while not running.done():
        recovered += await other.recover()
        await asyncio.sleep(0.01)
    assert recovered == 0
    assert running.result().state is SagaState.COMPLETED


async def test_who_takes_over_from_itself_keeps_what_it_took(orchestrate, door):
    """Of two runs of one saga in one process only the earlier learns that it was lost."""
    owner = orchestrate([SagaStep("a", door, None)], lease_seconds=0.6)
    waiting = asyncio.create_task(owner.execute({}, saga_id="s"))
    await door.reached.wait()
    (first,) = owner._owned.values()
    owner._keeper.drop(first.held)  # as if it had not come to renew it
    door.runs.clear()  # the second run stands still as well
    async with asyncio.timeout(60):
        while len(owner._owned) < 2:
            await owner._take_over(1)
            await asyncio.sleep(0.01)
        owner._keeper.hold(first.held)
        while not first.lost:
            await asyncio.sleep(0.01)
    (second,) = [ownership for ownership in owner._owned.values() if ownership is not first]
    assert not second.lost
    door.opened.set()
    assert (await asyncio.wait_for(waiting, 60)).state is SagaState.COMPLETED


async def test_leaving_hands_over_at_once(orchestrate, door, metric):
    """Closing stops the step, writes that its outcome is unknown, and another goes on without waiting for the lease."""
    steps = [SagaStep("a", door, None)]
    leaver, heir = orchestrate(steps), orchestrate(steps)
    waiting = asyncio.create_task(leaver.execute({}, saga_id="s"))
    await door.reached.wait()
    await leaver.aclose()
    with pytest.raises(OrchestratorClosed, match="left to other processes"):
        await asyncio.wait_for(waiting, 60)
    with pytest.raises(OrchestratorClosed):
        await leaver.execute({})

    assert (await heir.show("s")).steps["a"].state is StepState.UNKNOWN
    assert metric("saga_in_progress", saga="order") == 0
    assert await heir.recover() == 1
    assert (await heir.show("s")).state is SagaState.COMPLETED
    assert [run.idempotency_key for run in door.runs] == ["s:a:action"] * 2
    assert (await heir.statistics())["recovered"] == 0  # nobody died


async def test_leaving_waits_for_a_compensation_that_has_begun(orchestrate, door):
    """Closing does not cut it short; what is left to undo is left to others."""

    async def refuse(_):
        raise Terminal("no")

    undone = []
    steps = [
        SagaStep("a", lambda _: None, undone.append),
        SagaStep("b", lambda _: None, door),
        SagaStep("c", refuse, None),
    ]
    leaver, heir = orchestrate(steps), orchestrate(steps)
    waiting = asyncio.create_task(leaver.execute({}, saga_id="s"))
    await door.reached.wait()
    waiting.cancel()
    closing = asyncio.create_task(leaver.aclose())
    await asyncio.sleep(0)
    door.opened.set()
    await closing

    view = await heir.show("s")
    assert (view.state, view.steps["b"].state, undone) == (SagaState.COMPENSATING, StepState.COMPENSATED, [])
    assert await heir.recover() == 1
    assert (await heir.show("s")).state is SagaState.FAILED
    assert (len(door.runs), len(undone)) == (1, 1)


async def test_a_program_that_ends_hands_over_what_runs(orchestrate, door):
    """Where the event loop cancels all tasks, as at Ctrl-C, the saga is left to others, too."""
    steps = [SagaStep("a", door, None)]
    leaver, heir = orchestrate(steps), orchestrate(steps)
    waiting = asyncio.create_task(leaver.execute({}, saga_id="s"))
    await door.reached.wait()
    run = leaver._runs["s"]
    waiting.cancel()
    run.cancel()
    await asyncio.wait({run})
    assert run.cancelled()
    assert await heir.recover() == 1
    assert (await heir.show("s")).state is SagaState.COMPLETED


class Slow:
    """Holds back the replies to calls of one kind until it is let go."""

    def __init__(self, sender, name: str) -> None:
        self._sender = sender
        self._name = name
        self.held = asyncio.Event()
        self.let_go = asyncio.Event()

    async def send(self, call, *, within):
        reply = await self._sender.send(call, within=within)
        if call.script.name == self._name:
            self.held.set()
            await self.let_go.wait()
        return reply


@pytest.mark.parametrize("call", ["begin", "claim"])
async def test_a_caller_cancelled_while_it_becomes_the_owner(orchestrate, redis, telemetry, call):
    """The saga runs, or is left at once where the orchestrator is closed: it never waits for a lease to lapse."""
    sender = Slow(Sender(redis, Availability(redis, telemetry)), call)
    steps = [SagaStep("a", lambda _: None)]
    owner, other = (
        orchestrate(steps, sender=sender, lease_seconds=600),
        orchestrate(steps, lease_seconds=600),
    )
    if call == "claim":
        await other.start({}, saga_id="s")
    working = asyncio.create_task(owner.execute({}, saga_id="s"))
    await sender.held.wait()
    working.cancel()
    await asyncio.wait({working})
    sender.let_go.set()
    assert (await asyncio.wait_for(other.result("s"), 60)).state is SagaState.COMPLETED


class Forgetful:
    """Loses the reply to every checkpoint the first time, so that it is sent again."""

    def __init__(self, sender) -> None:
        self._sender = sender
        self._answered = None
        self.lost = 0

    async def send(self, call, *, within):
        reply = await self._sender.send(call, within=within)
        if call.script.name == "checkpoint" and call is not self._answered:
            self._answered = call
            self.lost += 1
            raise QueueUnavailable("here", "reply lost")
        return reply


async def test_a_lost_reply_changes_nothing(orchestrate, world, redis, telemetry):
    """Each checkpoint that is sent twice is written once, and refused to nobody."""
    steps = [
        world.step("a"),
        world.step("b", kind=StepKind.PIVOT, undone=False),
        world.step("c", undone=False),
    ]
    sender = Forgetful(Sender(redis, Availability(redis, telemetry)))
    orchestrator = orchestrate(steps, sender=sender)
    result = await orchestrator.execute({}, saga_id="s")
    view = await orchestrator.show("s")
    assert result.state is SagaState.COMPLETED
    check_invariants(world, view, orchestrator._definition.steps)
    assert len(world.of("s")) == 3
    assert sender.lost == 4  # an outcome goes with the next intent
    assert len(view.history) == 8  # two for each step, the start and the end
    assert (await orchestrator.statistics())["refused"] == 0


async def test_a_version_that_nobody_has_is_left_alone_and_told_of(orchestrate, telemetry, log_file):
    """Sagas of other steps stay due until somebody comes who has them, beside newer ones if need be."""
    old, new = [SagaStep("a", lambda _: {"by": "old"})], [SagaStep("b", lambda _: {"by": "new"})]
    saga_id = await orchestrate(old, version=1).start({})
    modern = orchestrate(new, version=2)
    assert await modern.recover() == 0
    assert (
        await orchestrate([SagaStep("c", lambda _: None)], version=1).recover() == 0
    )  # other steps, same number
    assert (await modern.show(saga_id)).state is SagaState.IDLE
    assert await orchestrate(new, version=2, older={1: old}).recover() == 1
    assert (await modern.result(saga_id)).context == {"by": "old"}
    telemetry.close()
    told = [json.loads(line) for line in log_file.read_text().splitlines() if "release_unregistered" in line]
    assert [line["due"] for line in told] == [1, 1]


async def test_a_saga_that_kills_its_owners_is_suspended(orchestrate, redis, telemetry, world, clock):
    """After so many deaths without a finished step it waits for a person, who can have it tried again."""
    sender = MortalSender(Sender(redis, Availability(redis, telemetry)))
    steps = [world.step("a"), world.step("b")]
    mortal = orchestrate(steps, clock=clock, sender=sender, max_recoveries=2)
    heir = orchestrate(steps, clock=clock, max_recoveries=2)
    saga_id = await heir.start({})
    for _ in range(3):
        sender.live()
        await mortal.open()
        sender.die(4, before=True)  # it looks twice, claims, and dies with the intent
        with pytest.raises(Died):
            await mortal.recover()
        clock.advance(16)
    assert await heir.recover() == 0
    assert (await heir.show(saga_id)).state is SagaState.SUSPENDED
    counts = await heir.statistics()
    assert (counts["parked"], counts["recovered"]) == (1, 3)

    await heir.resume(saga_id)
    assert await heir.recover() == 1
    assert (await heir.show(saga_id)).state is SagaState.COMPLETED


async def test_trace_and_log_context_go_on_where_the_saga_goes_on(orchestrate, telemetry, log_file):
    """A line of a step that another process runs carries the user whom the saga was begun for."""
    steps = [SagaStep("a", lambda _: telemetry.log.info("a.done"))]
    with telemetry.context(user_id=7), telemetry.bot.command("buy"):
        saga_id = await orchestrate(steps).start({})
    await orchestrate(steps).recover()
    telemetry.close()
    lines = [json.loads(line) for line in log_file.read_text().splitlines()]
    (bought,) = [line for line in lines if line["event"] == "bot.request_handled"]
    (done,) = [line for line in lines if line["event"] == "a.done"]
    assert (done["user_id"], done["saga_id"], done["step"]) == (7, saga_id, "a")
    assert done["trace_id"] == bought["trace_id"]


async def test_all_of_a_saga_is_one_trace(orchestrate, telemetry, log_file, world):
    """Also where it was begun outside of any, and another process goes on."""
    world.fails("s", "a", RuntimeError("later"))
    steps = [world.step("a"), Wait("nap", 0.01), world.step("b")]
    one, other = orchestrate(steps), orchestrate(steps)
    await one.start({}, saga_id="s")
    await one.recover()
    await other.result("s")
    telemetry.close()
    lines = [json.loads(line) for line in log_file.read_text().splitlines()]
    traces = [line["trace_id"] for line in lines if line["event"] == "saga.step_finished"]
    assert len(traces) == 3
    assert len(set(traces)) == 1


async def test_the_recovery_loop_finds_what_becomes_due(orchestrate, door, metric):
    """It is woken by what others leave to it, runs no more at once than it may, and stops when told to."""
    steps = [SagaStep("a", door, None)]
    worker = orchestrate(steps, recovery_pause=60.0, concurrency=3)
    stop = asyncio.Event()
    loop = asyncio.create_task(worker.run_recovery(stop))
    other = orchestrate(steps)
    ids = [await other.start({"n": n}) for n in range(20)]
    await door.reached.wait()
    door.opened.set()
    async with asyncio.timeout(60):
        while len(await other.list(SagaState.COMPLETED)) < 20:
            assert len(worker._runs) <= 3
            await asyncio.sleep(0.005)
    assert {(await other.result(saga_id)).state for saga_id in ids} == {SagaState.COMPLETED}
    assert len(door.runs) == 20
    assert metric("saga_started_total", saga="order") == 20
    stop.set()
    await asyncio.wait_for(loop, 60)


async def test_redis_may_go_away_in_the_middle(tmp_path, telemetry):
    """Killed and started again while sagas run, it finds every one of them going on, each effect under one key."""
    effects = []
    reached, back = asyncio.Event(), asyncio.Event()

    async def do(_):
        effects.append(current_step().idempotency_key)
        if len(effects) == 30:
            reached.set()
        if len(effects) >= 30:  # under way while Redis is away
            await back.wait()

    names = "abcde"
    with RedisServer(tmp_path, appendfsync="always") as server:
        config = SagaConfig(redis_url=server.url, name="order", lease_seconds=1.5)
        async with SagaOrchestrator(
            [SagaStep(name, do, None) for name in names], config, telemetry=telemetry
        ) as runs:
            running = [asyncio.create_task(runs.execute({}, saga_id=f"s{n}")) for n in range(20)]
            await reached.wait()
            await asyncio.to_thread(server.kill)
            async with asyncio.timeout(60):  # the keeper notices by itself that Redis is away
                while runs._availability.is_there:
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(server.start)
            back.set()
            results = await asyncio.wait_for(asyncio.gather(*running), 60)
    assert {result.state for result in results} == {SagaState.COMPLETED}
    assert set(effects) == {f"s{n}:{name}:action" for n in range(20) for name in names}
