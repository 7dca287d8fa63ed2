"""Whatever fails, dies and is decided in whatever order, a saga is done or undone, and never half of each."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import redis as redis_client
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from botmetry import LogSettings, Telemetry
from midas.demo.servers import RedisServer
from midas.redis import Availability, Sender, connect
from midas.saga import (
    InvalidContext,
    NotPossible,
    Parallel,
    SagaConfig,
    SagaOrchestrator,
    SagaUnknown,
    StepKind,
    Terminal,
    Wait,
)
from midas.saga.context import ContextCodec
from midas.saga.definition import Definition
from midas.saga.keys import SagaKeys

from ..integration.saga.world import Died, MortalSender, Unheard, World, check_invariants  # noqa: TID252

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from midas.saga.definition import Unit

LEASE = 15.0
WAIT = 50.0
NAMES = "abcdefgh"

_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | _TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(_TEXT, values, max_size=3),
    max_leaves=10,
)
_CONTEXTS = st.dictionaries(_TEXT, _VALUES, max_size=5)

_ERRORS = st.sampled_from(
    [None, RuntimeError("no"), TimeoutError("silence"), Unheard("silence"), Terminal("never")]
)
_FINAL = st.sampled_from([(Terminal("never"),), (RuntimeError("no"),) * 2, (Unheard("silence"),) * 2])
_GIVEN_UP = st.sampled_from([(Terminal("never"),), (OSError("no"),) * 3])
_FAULTS = st.fixed_dictionaries(
    {
        "passing": st.dictionaries(st.integers(0, 5), st.lists(_ERRORS, max_size=2), max_size=2),
        "final": st.none() | st.tuples(st.integers(0, 5), _FINAL),
        "undoing": st.dictionaries(st.integers(0, 5), st.lists(_ERRORS, max_size=4) | _GIVEN_UP, max_size=3),
    }
)
"""By the place of the step: errors that may pass, those that end it at one step, and those of compensations."""
_DEATHS = st.none() | st.tuples(st.integers(1, 40), st.booleans())
_UNITS = st.lists(st.sampled_from(["step", "step", "group", "wait", "signal"]), min_size=1, max_size=4)


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@given(start=_CONTEXTS, changes=st.lists(_CONTEXTS, max_size=4))
def test_what_steps_side_by_side_change_is_all_there(start, changes):
    """Whatever each of them sets under a key of its own is in the context, and what none touched is as it was."""
    codec = ContextCodec(None, 2**20)
    given_ = codec.pack(start)
    context = given_
    for number, change in enumerate(changes):
        mine = codec.unpack(given_)
        mine[f"step {number}"] = change
        context = codec.merge(context, given_, mine, {f"result {number}": change})
    expected: dict[str, Any] = dict(start)
    for number, change in enumerate(changes):
        expected |= {f"step {number}": change, f"result {number}": change}
    assert codec.unpack(context) == expected


@given(start=_CONTEXTS, changes=st.lists(_CONTEXTS, max_size=4))
def test_what_steps_side_by_side_change_is_all_there_below_the_top(start, changes):
    """Whatever each of them sets under a key of its own in a mapping that they share is there in the end."""
    codec = ContextCodec(None, 2**20)
    context = given_ = codec.pack({"shared": {"deep": start}})
    for number, change in enumerate(changes):
        mine = codec.unpack(given_)
        mine["shared"]["deep"][f"the step {number}"] = change
        context = codec.merge(context, given_, mine, None)
    expected = start | {f"the step {number}": change for number, change in enumerate(changes)}
    assert codec.unpack(context) == {"shared": {"deep": expected}}


@given(start=_CONTEXTS, one=_CONTEXTS, other=_CONTEXTS)
def test_it_does_not_matter_which_of_two_steps_side_by_side_ends_first(start, one, other):
    """Both orders give the same context, or both are refused; and what only one changed is taken from it."""

    def both(*orders):
        context = codec.pack(start)
        for mine in orders:
            context = codec.merge(context, codec.pack(start), mine, None)
        return codec.unpack(context)

    codec = ContextCodec(None, 2**20)
    try:
        together = both(one, other)
    except InvalidContext:
        with pytest.raises(InvalidContext):
            both(other, one)
    else:
        assert together == both(other, one)
    assert both(start, one) == both(one, start) == one


@given(start=_CONTEXTS, after=_CONTEXTS)
def test_a_step_may_make_of_the_context_what_it_will(start, after):
    """Alone, it leaves behind just what it made of its copy: added, changed and removed."""
    codec = ContextCodec(None, 2**20)
    packed = codec.pack(start)
    assert msgspec.msgpack.decode(codec.merge(packed, packed, after, None)) == after


class SagaMachine(RuleBasedStateMachine):
    """Sagas of one drawn definition, two orchestrators of which one dies as drawn, and people who interfere."""

    url = ""
    sagas = Bundle("sagas")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.seconds = 1_800_000_000.0
        self.ids: list[str] = []
        self.decided: set[str] = set()
        self.resolved: set[str] = set()
        self.telemetry = Telemetry(service="saga-test", log=LogSettings(output="none"))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    @initialize(shape=_UNITS, pivot=st.none() | st.integers(0, 3))
    def define(self, shape: list[str], pivot: int | None) -> None:
        with redis_client.Redis.from_url(self.url) as client:
            client.flushall()
        self.run(self._set_up(shape, pivot))

    async def _set_up(self, shape: list[str], pivot: int | None) -> None:
        self.client = connect(self.url)
        self.world = World(self.client, SagaKeys("order"))
        units = self._units(shape, pivot)
        self.steps = Definition(units, 1).steps
        config = SagaConfig(
            redis_url=self.url, name="order", first_pause=0.0, lease_seconds=LEASE, compensation_retries=2
        )
        self.sender = MortalSender(Sender(self.client, Availability(self.client, self.telemetry)))
        options: dict[str, Any] = {"telemetry": self.telemetry, "clock": lambda: self.seconds}
        self.mortal = SagaOrchestrator(units, config, sender=self.sender, **options)
        self.heir = SagaOrchestrator(units, config, **options)
        await self.mortal.open()
        await self.heir.open()

    def _units(self, shape: list[str], pivot: int | None) -> list[Unit]:
        names = iter(NAMES)
        units: list[Unit] = []
        for position, kind in enumerate(shape):
            past = pivot is not None and position > pivot and len(shape) > pivot
            if position == pivot:
                units.append(self.world.step(next(names), undone=False, kind=StepKind.PIVOT, retries=1))
            elif kind == "step":
                units.append(self.world.step(next(names), undone=not past, retries=1))
            elif kind == "group":
                units.append(
                    Parallel(*(self.world.step(next(names), undone=not past, retries=1) for _ in "12"))
                )
            else:
                signal = "go" if kind == "signal" else None
                units.append(Wait(f"wait {position}", WAIT, signal=signal, required=not past))
        return units

    @rule(target=sagas, plans=st.lists(_FAULTS, min_size=1, max_size=4), death=_DEATHS)
    def begin(self, plans: list[dict[str, Any]], death: tuple[int, bool] | None) -> Any:
        ids = [f"s{len(self.ids) + number}" for number in range(len(plans))]
        self.ids += ids
        for saga_id, faults in zip(ids, plans, strict=True):
            self._plan(saga_id, faults)
        self.run(self._under(death, self._begin(ids)))
        return multiple(*ids)

    async def _begin(self, ids: list[str]) -> None:
        for saga_id in ids:
            await self.mortal._begin(saga_id, {}, owned=True)

    def _plan(self, saga_id: str, faults: dict[str, Any]) -> None:
        for place, errors in faults["passing"].items():
            self.world.fails(saga_id, self._name(place), *errors)
        if faults["final"] is not None:
            place, errors = faults["final"]
            self.world.fails(saga_id, self._name(place), *errors)
        for place, errors in faults["undoing"].items():
            self.world.fails(saga_id, self._name(place), *errors, direction="compensation")

    def _name(self, place: int) -> str:
        return self.steps[place % len(self.steps)].name if self.steps else ""

    @rule(death=_DEATHS)
    def recover(self, death: tuple[int, bool] | None) -> None:
        self.run(self._under(death, self.mortal.recover()))

    async def _under(self, death: tuple[int, bool] | None, work: Coroutine[Any, Any, Any]) -> None:
        self.sender.live()
        if death is not None:
            self.sender.die(death[0], before=death[1])
        with suppress(Died):
            await work
        if self.mortal._runs:
            await asyncio.wait(self.mortal._runs.values())
        self.sender.live()

    @rule(seconds=st.sampled_from([1.0, LEASE + 1, WAIT + 1]))
    def time_passes(self, seconds: float) -> None:
        self.seconds += seconds

    @rule(saga_id=sagas, early=st.booleans())
    def abort_or_signal(self, saga_id: str, *, early: bool) -> None:
        self._decide(self.heir.signal(saga_id, "go") if early else self.heir.abort(saga_id))

    @rule(
        saga_id=sagas,
        decision=st.sampled_from(["resume", "resume", "skip", "resolve"]),
        place=st.integers(0, 5),
    )
    def decide(self, saga_id: str, decision: str, place: int) -> None:
        if decision == "resume":
            if self._decide(self.heir.resume(saga_id)):
                self.decided.add(saga_id)
        elif self._decide(
            self.heir.resolve(saga_id)
            if decision == "resolve"
            else self.heir.skip(saga_id, self._name(place))
        ):
            self.resolved.add(saga_id)

    def _decide(self, decision: Coroutine[Any, Any, None]) -> bool:
        with suppress(NotPossible, SagaUnknown):
            self.run(decision)
            return True
        return False

    def teardown(self) -> None:
        try:
            if self.ids:
                self.run(self._end())
        finally:
            self.run(self._close())
            self.loop.close()
            self.telemetry.close()

    async def _end(self) -> None:
        """Nothing fails any more; after some lease and wait times all sagas are over, and what must be true is."""
        self.world.forget_faults()
        for _ in range(12):
            self.seconds += WAIT + LEASE
            await self.heir.recover()
            counts = await self.heir.statistics()
            if counts["in:COMPLETED"] + counts["in:FAILED"] + counts["in:ABORTED"] == counts["started"]:
                break
            for view in [*await self.heir.list("COMPENSATION_FAILED"), *await self.heir.list("SUSPENDED")]:
                self.decided.add(view.saga_id)
                await self.heir.resume(view.saga_id)
        views = {view.saga_id: view for view in await self.heir.list(limit=1000)}
        for saga_id in self.ids:
            if saga_id not in views:
                assert self.world.of(saga_id) == [], "an effect of a saga that does not exist"
                continue
            view = await self.heir.show(saga_id)
            assert view.state.is_over, view
            if saga_id not in self.resolved:
                check_invariants(self.world, view, self.steps, in_one_go=saga_id not in self.decided)
        assert (await self.heir.statistics())["refused"] == 0

    async def _close(self) -> None:
        if hasattr(self, "heir"):
            self.sender.live()
            await self.mortal.aclose()
            await self.heir.aclose()
            await self.client.aclose()


def test_sagas_do_what_they_promise(server):
    """Deaths at drawn calls, failures of drawn kinds, people who decide: the invariants hold in every history."""
    SagaMachine.url = server.url
    run_state_machine_as_test(SagaMachine, settings=settings(max_examples=45, stateful_step_count=12))
