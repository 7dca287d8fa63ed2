"""An orchestrator that dies at any of its Redis calls, before or after it, leaves a saga that another one ends well."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from midas.redis import Availability, Sender
from midas.saga import (
    NotPossible,
    Parallel,
    SagaOrchestrator,
    SagaState,
    SagaUnknown,
    StepKind,
    Terminal,
    Wait,
)
from midas.saga.definition import Definition

from .world import Died, MortalSender, Unheard, World, check_invariants

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Clock

    from midas.saga.definition import Unit


def linear(world: World, saga_id: str) -> list[Unit]:
    return [world.step("a"), world.step("b"), world.step("c")]


def hiccups(world: World, saga_id: str) -> list[Unit]:
    world.fails(saga_id, "b", RuntimeError("not now"), Unheard("no answer"))
    return linear(world, saga_id)


def refused(world: World, saga_id: str) -> list[Unit]:
    world.always_fails("c", Terminal("no money"))
    return linear(world, saga_id)


def doubtful(world: World, saga_id: str) -> list[Unit]:
    world.always_fails("c", Unheard("no answer"))
    return [world.step("a"), world.step("b"), world.step("c", retries=1)]


def changes_its_mind(world: World, saga_id: str) -> list[Unit]:
    """Succeed; and should nobody have heard of that, say no the next time."""
    for step in "abc":
        world.fails(saga_id, step, None, Terminal("not again"))
    return linear(world, saga_id)


def not_undoable(world: World, saga_id: str) -> list[Unit]:
    world.always_fails("b", Terminal("gone"), "compensation")
    return refused(world, saga_id)


def pivot(world: World, saga_id: str) -> list[Unit]:
    return [
        world.step("a"),
        world.step("b", kind=StepKind.PIVOT, undone=False),
        world.step("c", undone=False),
    ]


def stuck_pivot(world: World, saga_id: str) -> list[Unit]:
    world.always_fails("b", TimeoutError("no answer"))
    return [world.step("a"), world.step("b", kind=StepKind.PIVOT, undone=False, retries=1)]


def group(world: World, saga_id: str) -> list[Unit]:
    return [world.step("a"), Parallel(world.step("b"), world.step("c")), world.step("d")]


def failing_group(world: World, saga_id: str) -> list[Unit]:
    world.always_fails("c", Terminal("no room"))
    return group(world, saga_id)


def waiting(world: World, saga_id: str) -> list[Unit]:
    return [
        world.step("a"),
        Wait("nap", 5.0),
        world.step("b"),
        Wait("approval", 5.0, signal="yes", required=False),
    ]


def waiting_in_vain(world: World, saga_id: str) -> list[Unit]:
    return [world.step("a"), Wait("approval", 5.0, signal="yes"), world.step("b")]


CASES: dict[Callable[[World, str], list[Unit]], set[SagaState]] = {
    linear: {SagaState.COMPLETED},
    hiccups: {SagaState.COMPLETED},
    refused: {SagaState.FAILED},
    changes_its_mind: {SagaState.COMPLETED, SagaState.FAILED},
    doubtful: {SagaState.FAILED},
    not_undoable: {SagaState.COMPENSATION_FAILED},
    pivot: {SagaState.COMPLETED},
    stuck_pivot: {SagaState.SUSPENDED},
    group: {SagaState.COMPLETED},
    failing_group: {SagaState.FAILED},
    waiting: {SagaState.COMPLETED},
    waiting_in_vain: {SagaState.FAILED},
}


@pytest.fixture(name="senders")
def _senders(redis, telemetry):
    """Give two senders that can be told when to die."""
    return [MortalSender(Sender(redis, Availability(redis, telemetry))) for _ in range(2)]


@pytest.fixture(name="sender")
def _sender(senders):
    return senders[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_death_at_any_call_is_survived(case, orchestrate, world, sender, clock):
    """Another orchestrator ends it as it would have ended: each effect under one key, or undone in reverse."""
    steps = case(world, "")
    definition = Definition(steps, 1)
    mortal, heir = orchestrate(steps, clock=clock, sender=sender), orchestrate(steps, clock=clock)
    await mortal.open()
    await heir.open()
    sender.live()
    await _live(mortal, case(world, "whole"), "whole")
    calls = sender.sent

    for at in range(1, calls + 1):
        for before in (True, False):
            saga_id = f"{at}-{'before' if before else 'after'}"
            sender.die(at, before=before)
            await _live(mortal, case(world, saga_id), saga_id)
            assert sender.is_dead
            await _inherit(heir, clock)
            if at == 1 and before:
                assert world.of(saga_id) == []
                continue
            view = await heir.show(saga_id)
            assert view.state in CASES[case], saga_id
            check_invariants(world, view, definition.steps)
    counts = await heir.statistics()
    assert counts["in:RUNNING"] == counts["in:COMPENSATING"] == counts["in:WAITING"] == 0
    assert counts["refused"] == 0


@pytest.mark.parametrize("case", [refused, group], ids=lambda case: case.__name__)
async def test_the_heir_may_die_as_well(case, orchestrate, world, senders, clock):
    """Two deaths, at any call and at any call of the recovery, with the replies lost, are survived as one is."""
    steps = case(world, "")
    sender, second = senders
    first_heir, heir = orchestrate(steps, clock=clock, sender=second), orchestrate(steps, clock=clock)
    mortal = orchestrate(steps, clock=clock, sender=sender)
    for orchestrator in (mortal, first_heir, heir):
        await orchestrator.open()
    sender.live()
    await _live(mortal, case(world, "whole"), "whole")
    calls = sender.sent
    for at in range(1, calls, 2):
        for again in range(3, calls + 3, 2):  # it looks twice before it claims
            saga_id = f"{at}-{again}"
            sender.die(at, before=False)
            await _live(mortal, case(world, saga_id), saga_id)
            clock.advance(heir.config.lease_seconds + 1)
            second.die(again, before=False)
            with suppress(Died):
                await first_heir.recover()
            await _inherit(heir, clock)
            view = await heir.show(saga_id)
            assert view.state in CASES[case], saga_id
            check_invariants(world, view, Definition(steps, 1).steps)


async def _live(mortal: SagaOrchestrator, _: list[Unit], saga_id: str) -> None:
    """Begin a saga and run it until it ends, waits or its process is dead."""
    with suppress(Died):
        await mortal._begin(saga_id, {"n": 1}, owned=True)
    while mortal._runs:
        await asyncio.sleep(0)


async def _inherit(heir: SagaOrchestrator, clock: Clock) -> None:
    """Let leases lapse and waits end until nothing is left to do."""
    clock.advance(heir.config.lease_seconds + 1)
    while await heir.recover():
        clock.advance(6.0)


class Interrupted:
    """Sends calls, and does something before one of them."""

    def __init__(self, sender) -> None:
        self._sender = sender
        self.left = 0
        self.do = None

    async def send(self, call, *, within):
        self.left -= 1
        if self.left == 0:
            await self.do()
        return await self._sender.send(call, within=within)


@pytest.mark.parametrize("case", [linear, hiccups, pivot, group], ids=lambda case: case.__name__)
async def test_an_abort_at_any_call_counts_or_is_refused(case, orchestrate, world, redis, telemetry):
    """Who was told that the saga is going to be undone sees it undone; who was told no sees it completed."""
    steps = case(world, "")
    sender = Interrupted(Sender(redis, Availability(redis, telemetry)))
    owner, other = orchestrate(steps, sender=sender), orchestrate(steps)
    await owner.open()
    seen = set()
    for at in range(1, 40):
        saga_id = f"s{at}"
        case(world, saga_id)
        accepted = []

        async def abort(saga_id=saga_id, accepted=accepted):
            try:
                await other.abort(saga_id, "enough")
            except SagaUnknown:
                accepted.append(None)
            except NotPossible:
                accepted.append(False)
            else:
                accepted.append(True)

        sender.left, sender.do = at, abort
        result = await owner.execute({}, saga_id=saga_id)
        if not accepted:
            break  # it makes no more calls than that
        assert result.state is (SagaState.ABORTED if accepted[0] else SagaState.COMPLETED), at
        assert result.error == ("enough" if accepted[0] else None)
        check_invariants(world, await other.show(saga_id), Definition(steps, 1).steps)
        seen.add(accepted[0])
    assert seen == ({None, True, False} if case is pivot else {None, True})
