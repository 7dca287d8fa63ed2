"""People can look at sagas, and decide about those that stand still, without having their steps."""

from __future__ import annotations

import pytest

from botmetry.telemetry.saga import SagaCensus
from midas.saga import (
    NotPossible,
    SagaConfig,
    SagaOversight,
    SagaState,
    SagaStep,
    SagaUnknown,
    StepKind,
    StepState,
    Terminal,
    Wait,
    saga_names,
)

from .world import check_invariants

NO = Terminal("no")


@pytest.fixture(name="oversight")
async def _oversight(redis_url):
    async with SagaOversight(SagaConfig(redis_url=redis_url, name="order")) as oversight:
        yield oversight


@pytest.fixture(name="not_undone")
async def _not_undone(orchestrate, world):
    """Give an orchestrator and a saga of which two steps could not be undone."""
    world.always_fails("d", NO)
    for step in ("a", "c"):
        world.always_fails(step, NO, "compensation")
    orchestrator = orchestrate([world.step(name) for name in "abcd"])
    result = await orchestrator.execute({}, saga_id="s")
    assert result.state is SagaState.COMPENSATION_FAILED
    world.forget_faults()
    return orchestrator


async def test_resume_undoes_what_was_not(not_undone, oversight, world):
    """What had failed is tried again, what is undone is left alone, and the saga ends as if nothing had happened."""
    assert (await oversight.show("s")).not_undone == ("a", "c")
    await oversight.resume("s")
    assert await not_undone.recover() == 1
    view = await oversight.show("s")
    assert view.state is SagaState.FAILED
    assert world.applied["s"] == set()
    assert [run.step for run in world.of("s") if run.direction == "compensation"] == ["c", "b", "a", "c", "a"]


async def test_skip_leaves_one_step_as_it_is(not_undone, oversight, world):
    """Skipped one by one, the saga ends when no step is left that nobody has decided on."""
    with pytest.raises(NotPossible, match="not stand still because of step 'b'"):
        await oversight.skip("s", "b")
    await oversight.skip("s", "c")
    await not_undone.recover()
    view = await oversight.show("s")
    assert (view.state, view.not_undone) == (SagaState.COMPENSATION_FAILED, ("a",))
    await oversight.skip("s", "a")
    await not_undone.recover()
    assert (await oversight.show("s")).state is SagaState.FAILED
    assert world.applied["s"] == {"a", "c"}


async def test_resolve_ends_it_at_once(not_undone, oversight):
    """A person put it right by hand: it is over, and says so."""
    await oversight.resolve("s", "refunded by Ada")
    view = await oversight.show("s")
    assert (view.state, view.not_undone, view.due_at) == (SagaState.FAILED, (), None)
    assert "refunded by Ada" in view.error
    assert await not_undone.recover() == 0
    for decide in (oversight.resolve, oversight.resume):
        with pytest.raises(NotPossible, match="nothing to decide"):
            await decide("s")


async def test_an_abort_of_what_could_not_be_undone_is_refused(not_undone, oversight):
    """It has turned back already: the abort would do nothing, so the person is told what does something."""
    before = await oversight.show("s")
    words = "saga s is COMPENSATION_FAILED.*resume, skip or resolve it"
    for orchestrator in (oversight, not_undone):
        with pytest.raises(NotPossible, match=words):
            await orchestrator.abort("s", "please")
    assert await oversight.show("s") == before
    await oversight.resume("s")
    await oversight.abort("s")  # while it is being undone, asking for it is no error


async def test_a_saga_stuck_after_its_pivot_goes_forward(orchestrate, oversight, world):
    """Resumed, it tries again; skipped, it goes on without the step; there is no way back."""
    world.always_fails("c", NO)
    steps = [
        world.step("a"),
        world.step("b", kind=StepKind.PIVOT, undone=False),
        world.step("c", undone=False),
        world.step("d", undone=False),
    ]
    orchestrator = orchestrate(steps)
    for saga_id in ("resumed", "skipped", "resolved"):
        assert (await orchestrator.execute({}, saga_id=saga_id)).state is SagaState.SUSPENDED
        with pytest.raises(NotPossible, match="past its pivot"):
            await oversight.abort(saga_id)
    world.forget_faults()
    await oversight.resume("resumed")
    await oversight.skip("skipped", "c")
    await oversight.resolve("resolved")
    assert await orchestrator.recover() == 2
    for saga_id, done in (("resumed", "abcd"), ("skipped", "abd"), ("resolved", "ab")):
        assert (await oversight.show(saga_id)).state is SagaState.COMPLETED
        assert world.applied[saga_id] == set(done)
    check_invariants(world, await oversight.show("resumed"), orchestrator._definition.steps)
    assert (await orchestrator.result("resumed")).error is None


async def test_lists_are_by_state_and_by_time(orchestrate, oversight, world, redis):
    """The latest comes first, a limit holds, and a name that ran here is known."""
    orchestrator = orchestrate([world.step("a")])
    for saga_id in ("one", "two", "three"):
        await orchestrator.execute({}, saga_id=saga_id)
    world.always_fails("a", NO)
    await orchestrator.execute({}, saga_id="four")
    waiting = await orchestrator.start({}, saga_id="five")

    assert {view.saga_id for view in await oversight.list()} == {"one", "two", "three", "four", waiting}
    completed = await oversight.list(SagaState.COMPLETED, limit=2)
    assert [view.saga_id for view in completed] == ["three", "two"]
    assert completed[0].history == ()
    assert [view.saga_id for view in await oversight.list("FAILED")] == ["four"]
    assert await saga_names(redis) == ["order"]
    counts = await oversight.statistics()
    assert (counts["started"], counts["in:COMPLETED"], counts["in:IDLE"]) == (5, 3, 1)


def shown(telemetry, name):
    """What a scrape shows of one metric, by its labels but the saga's name."""
    lines = [line for line in telemetry.render().decode().splitlines() if line.startswith(name + "{")]
    return {line[len(name) :].rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


async def test_a_scrape_shows_what_stands_still(orchestrate, oversight, world, telemetry):
    """Redis is asked: 0 before the first, 1 as long as nobody has decided, and nothing once nobody watches."""
    world.always_fails("b", NO)
    steps = [world.step("a", kind=StepKind.PIVOT, undone=False), world.step("b", undone=False)]
    orchestrator = orchestrate(steps)
    suspended = '{saga="order",state="suspended"}'
    await telemetry.refresh()
    assert set(shown(telemetry, "saga_size").values()) == {0.0}
    assert len(shown(telemetry, "saga_size")) == 6

    await orchestrator.execute({}, saga_id="s")
    assert await oversight.census() == SagaCensus(suspended=1)
    await telemetry.refresh()
    assert shown(telemetry, "saga_size")[suspended] == 1.0

    await oversight.resolve("s")
    await telemetry.refresh()
    assert shown(telemetry, "saga_size")[suspended] == 0.0
    await orchestrator.aclose()
    await telemetry.refresh()
    assert shown(telemetry, "saga_size") == shown(telemetry, "saga_overdue_seconds") == {}


async def test_a_saga_whose_steps_nobody_has_becomes_overdue(orchestrate, world, telemetry, clock):
    """It is as overdue as the clock says, seen by a process that cannot run it, until one that can takes it up."""
    former, current = [world.step("a")], [world.step("b")]
    began = orchestrate(former, clock=clock)
    await began.start({}, saga_id="s")
    await began.aclose()
    other = orchestrate(current, clock=clock, version=2)
    clock.advance(90)
    assert await other.recover() == 0
    await telemetry.refresh()
    assert shown(telemetry, "saga_overdue_seconds") == {'{saga="order"}': 90.0}

    heir = orchestrate(current, clock=clock, version=2, older={1: former})
    assert await heir.recover() == 1
    assert await heir.census() == SagaCensus()


async def test_what_sleeps_or_has_an_owner_is_not_overdue(orchestrate, clock):
    """Only what is due counts: a saga that sleeps counts once its sleep is over, one that runs when its lease is."""
    seen = []

    async def look(_):
        seen.append(await orchestrator.census())

    orchestrator = orchestrate([SagaStep("look", look, None), Wait("nap", 60.0)], clock=clock)
    await orchestrator.start({}, saga_id="s")
    clock.advance(5)
    assert await orchestrator.census() == SagaCensus(idle=1, overdue_seconds=5.0)
    await orchestrator.recover()
    assert seen == [SagaCensus(running=1)]
    assert await orchestrator.census() == SagaCensus(waiting=1)
    clock.advance(70)
    assert await orchestrator.census() == SagaCensus(waiting=1, overdue_seconds=10.0)


async def test_what_ended_is_kept_for_its_time(orchestrate, oversight, world, redis):
    """Redis throws an ended saga away after its retention, and the lists do not stumble over it."""
    orchestrator = orchestrate([world.step("a")], retention=1000.0)
    await orchestrator.execute({}, saga_id="s")
    for key in ("{saga:order}:saga:s", "{saga:order}:history:s"):
        assert 990_000 < await redis.pttl(key) <= 1_000_000
        await redis.delete(key)
    assert await oversight.list() == []
    with pytest.raises(SagaUnknown, match="there is no saga s called order"):
        await oversight.show("s")
    with pytest.raises(SagaUnknown):
        await oversight.abort("s")


async def test_a_history_is_capped(orchestrate, world):
    """The latest transitions stay, and each says when, under whom, which attempt and why."""
    world.fails("s", "a", *[RuntimeError("no")] * 3)
    orchestrator = orchestrate([world.step("a")], history_limit=4)
    await orchestrator.execute({}, saga_id="s")
    history = (await orchestrator.show("s")).history
    assert [(line.step, line.state, line.attempt, line.detail) for line in history] == [
        ("a", "PENDING", 3, "RuntimeError: no"),
        ("a", "EXECUTING", 4, "RuntimeError: no"),
        ("a", "COMPLETED", 4, ""),
        ("", "COMPLETED", 0, ""),
    ]
    assert all(line.at > 0 and line.epoch == 1 for line in history)


async def test_an_abort_of_a_saga_that_waits(orchestrate, oversight, world):
    """Nobody owns it, so whoever recovers undoes it."""
    orchestrator = orchestrate([world.step("a")])
    saga_id = await orchestrator.start({})
    await oversight.abort(saga_id, "changed my mind")
    await orchestrator.recover()
    view = await oversight.show(saga_id)
    assert (view.state, view.error, world.of(saga_id)) == (SagaState.ABORTED, "changed my mind", [])
    assert view.steps["a"].state is StepState.PENDING
