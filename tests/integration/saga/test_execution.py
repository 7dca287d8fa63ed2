"""A saga does its steps in order, hands its context through them, and undoes them in reverse when one fails."""

from __future__ import annotations

import asyncio
import inspect
import json
import textwrap
import threading

import msgspec
import pytest

from midas import saga
from midas.saga import (
    InvalidContext,
    NotPossible,
    Parallel,
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
from midas.saga import orchestrator as orchestrator_module

DONE, UNDONE, FAILED = StepState.COMPLETED, StepState.COMPENSATED, StepState.FAILED


class Diary:
    """What steps were called."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, name, *errors, undo_errors=(), **options):
        left, undo_left = list(errors), list(undo_errors)

        async def do(_):
            self.lines.append(name)
            if left:
                raise left.pop(0)

        async def undo(_):
            self.lines.append(f"-{name}")
            if undo_left:
                raise undo_left.pop(0)

        return SagaStep(name, do, undo, **options)


@pytest.fixture(name="diary")
def _diary():
    return Diary()


def throw(error):
    raise error


async def state_is(orchestrator, saga_id, *states):
    async with asyncio.timeout(60):
        while saga_id not in [view.saga_id for state in states for view in await orchestrator.list(state)]:
            await asyncio.sleep(0.005)


async def test_context_flows_through_async_and_plain_steps(orchestrate):
    """A step sees what the ones before it changed or returned, and the caller's object stays as it was."""

    async def reserve(context):
        context["seat"] = 12

    def charge(context):
        assert threading.current_thread() is not threading.main_thread()
        return {"paid": context["seat"] * 10}

    given = {"user": 7}
    last = SagaStep("log", lambda _: object())  # a result that is no dict counts for nothing
    steps = [SagaStep("reserve", reserve, None), SagaStep("charge", charge, None), last]
    result = await orchestrate(steps).execute(given)

    assert result.state is SagaState.COMPLETED
    assert result.context == {"user": 7, "seat": 12, "paid": 120}
    assert result.steps == {"reserve": DONE, "charge": DONE, "log": DONE}
    assert result.error is None
    assert given == {"user": 7}


async def test_plain_steps_that_hang_hold_up_nobody_else(orchestrate):
    """However many plain functions never end, those of other sagas run, and closing takes no longer than the grace."""
    ever = threading.Event()
    hung = SagaStep("hang", lambda _: ever.wait(300), None, timeout=0.05, retries=0)
    bad = orchestrate([hung], name="bad", grace_seconds=0.05)
    good = orchestrate([SagaStep("a", lambda _: {"ran": True}, None, timeout=60.0, retries=0)])
    try:
        # A pool of the loop's has at most 32 threads.
        results = await asyncio.gather(*(bad.execute({}) for _ in range(33)))
        assert {result.state for result in results} == {SagaState.FAILED}
        assert (await good.execute({})).context == {"ran": True}
        async with asyncio.timeout(60):
            await bad.aclose()
            await good.aclose()
    finally:
        ever.set()


async def test_a_plain_step_cancelled_from_within_is_of_unknown_outcome(orchestrate, diary):
    """A cancellation that a plain function lets through says no more than one of an async function: it is undone."""

    def cut_off(_):
        raise asyncio.CancelledError

    step = SagaStep("b", cut_off, lambda _: diary.lines.append("-b"))
    result = await orchestrate([diary.step("a"), step]).execute({})
    assert diary.lines == ["a", "-b", "-a"]
    assert result.state is SagaState.FAILED


async def test_it_works_without_an_orderly_beginning(redis_url):
    """With nothing but steps and an address a saga runs; who does not use `async with` closes it."""
    orchestrator = SagaOrchestrator([SagaStep("a", lambda _: None, None)], SagaConfig(redis_url=redis_url))
    assert (await orchestrator.execute({})).state == "COMPLETED"
    await orchestrator.aclose()


async def test_a_failure_undoes_what_was_done_in_reverse(orchestrate, diary):
    """The step that failed says that it had no effect, so only those before it are undone, the latest first."""
    steps = [diary.step("a"), diary.step("b"), diary.step("c", *[ValueError("no")] * 2, retries=1)]
    result = await orchestrate(steps).execute({})

    assert diary.lines == ["a", "b", "c", "c", "-b", "-a"]
    assert result.state is SagaState.FAILED
    assert result.steps == {"a": UNDONE, "b": UNDONE, "c": FAILED}
    assert result.error == "c: ValueError: no"


async def test_a_terminal_error_is_not_tried_again(orchestrate, diary):
    """Neither `Terminal` nor a class that the step calls terminal uses up retries."""
    for error, options in ((Terminal("refused"), {}), (KeyError("x"), {"terminal": (KeyError,)})):
        diary.lines.clear()
        result = await orchestrate([diary.step("a", error, **options)]).execute({})
        assert diary.lines == ["a"]
        assert result.state is SagaState.FAILED


class SpeechlessError(Exception):
    def __str__(self):
        raise RuntimeError("not even that")


@pytest.mark.parametrize("error", [FileNotFoundError("half a \udc00 name"), SpeechlessError()])
async def test_whatever_an_error_says_of_itself_it_is_an_error(orchestrate, diary, error):
    """An error whose text cannot be sent, or not even be had, fails its step or compensation as any other does."""
    steps = [diary.step("a"), diary.step("b", undo_errors=[error]), diary.step("c", error, retries=0)]
    result = await orchestrate(steps, compensation_retries=0).execute({})
    assert diary.lines == ["a", "b", "c", "-b", "-a"]
    assert result.state is SagaState.COMPENSATION_FAILED
    assert result.error.startswith(f"c: {type(error).__name__}")


async def test_an_error_that_passes_is_tried_again_under_the_same_key(orchestrate):
    """Attempts are counted, the key stays, and the step succeeds in the end."""
    seen = []

    async def flaky(_):
        run = current_step()
        seen.append((run.idempotency_key, run.attempt))
        if run.attempt < 3:
            raise RuntimeError("not yet")

    result = await orchestrate([SagaStep("a", flaky)]).execute({}, saga_id="s1")
    assert result.state is SagaState.COMPLETED
    assert seen == [("s1:a:action", 1), ("s1:a:action", 2), ("s1:a:action", 3)]


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError()])
async def test_an_unknown_outcome_is_undone_too(orchestrate, diary, error):
    """After a timeout or a lost connection nobody knows whether the step had its effect."""
    result = await orchestrate([diary.step("a"), diary.step("b", error, retries=0)]).execute({})
    assert diary.lines == ["a", "b", "-b", "-a"]
    assert result.steps == {"a": UNDONE, "b": UNDONE}


async def test_a_step_that_takes_too_long_is_stopped(orchestrate, diary):
    """Its action is cancelled, and since it may have done its work, it is undone."""
    cancelled = []

    async def slow(_):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    undone = []
    step = SagaStep("slow", slow, undone.append, timeout=0.05, retries=0)
    result = await orchestrate([diary.step("a"), step]).execute({})
    assert result.state is SagaState.FAILED
    assert (cancelled, len(undone), diary.lines) == ([True], 1, ["a", "-a"])
    assert "longer than 0.05 s" in (result.error or "")


async def test_an_action_cancelled_from_within_is_not_tried_again(orchestrate, diary):
    """Somebody else's cancellation ends the step with an unknown outcome."""
    result = await orchestrate([diary.step("a", asyncio.CancelledError())]).execute({})
    assert diary.lines == ["a", "-a"]
    assert result.state is SagaState.FAILED


async def test_a_compensation_that_fails_does_not_keep_the_others_back(
    orchestrate, diary, metric, log_file, telemetry
):
    """It is tried again, given up, told of, and the saga stands still where a person can find it."""
    steps = [
        diary.step("a"),
        diary.step("b", undo_errors=[OSError("shut")] * 9),
        diary.step("c", Terminal("no")),
    ]
    orchestrator = orchestrate(steps, compensation_retries=2)
    result = await orchestrator.execute({})

    assert diary.lines == ["a", "b", "c", "-b", "-b", "-b", "-a"]
    assert result.state is SagaState.COMPENSATION_FAILED
    assert result.steps == {"a": UNDONE, "b": FAILED, "c": FAILED}
    assert [view.saga_id for view in await orchestrator.list("COMPENSATION_FAILED")] == [result.saga_id]
    assert (await orchestrator.show(result.saga_id)).not_undone == ("b",)
    assert metric("saga_finished_total", saga="order", outcome="failed") == 1
    assert metric("saga_compensations_total", saga="order", step="b", outcome="error") == 3
    telemetry.close()
    assert '"saga.compensation_failed"' in log_file.read_text()


async def test_a_compensation_may_be_tried_again_much_later(orchestrate, diary, clock):
    """A long pause holds no process, and what the compensation gives that cannot be kept does not undo the undoing."""

    async def undo(_):
        diary.lines.append("-a")
        if diary.lines.count("-a") < 2:
            raise RuntimeError("later")
        return {"thing": object()}

    steps = [SagaStep("a", diary.step("a").action, undo), diary.step("b", Terminal("no"))]
    orchestrator = orchestrate(steps, clock=clock, first_pause=1e6, longest_pause=1e6)
    saga_id = await orchestrator.start({"n": 1})
    await orchestrator.recover()
    assert (await orchestrator.show(saga_id)).state is SagaState.WAITING
    clock.advance(1e6)
    await orchestrator.recover()
    view = await orchestrator.show(saga_id)
    assert (view.state, view.context, diary.lines) == (SagaState.FAILED, {"n": 1}, ["a", "b", "-a", "-a"])


async def test_steps_side_by_side_each_add_to_the_context(orchestrate):
    """They run at the same time, and no change of one is lost to another's."""
    meeting = asyncio.Barrier(3)

    def branch(name):
        async def do(context):
            assert context == {"start": 1}
            async with asyncio.timeout(60):
                await meeting.wait()
            context[name] = True

        return SagaStep(name, do, None)

    result = await orchestrate([Parallel(branch("a"), branch("b"), branch("c"))]).execute({"start": 1})
    assert result.context == {"start": 1, "a": True, "b": True, "c": True}


def beside_each_other(**changes):
    """Make steps that end in their order, each after it made its change; and what their compensations saw."""
    ended = {name: asyncio.Event() for name in changes}
    seen = {}

    def branch(name, change, before):
        async def do(context):
            async with asyncio.timeout(60):
                await before.wait()
            change(context)
            ended[name].set()

        return SagaStep(name, do, lambda context: seen.update({name: context}))

    now = asyncio.Event()
    now.set()
    befores = [now, *ended.values()]
    steps = (branch(*items, before) for items, before in zip(changes.items(), befores, strict=False))
    return Parallel(*steps), seen


async def test_changes_side_by_side_meet_below_the_top(orchestrate):
    """Steps that fill the same mapping lose nothing of each other's, and each compensation finds what its step left."""
    group, seen = beside_each_other(
        flight=lambda context: context["bookings"].update(flight="F1"),
        hotel=lambda context: context["bookings"].update(hotel="H1"),
    )
    pay = SagaStep("pay", lambda _: throw(Terminal("refused")), kind=StepKind.PIVOT)
    result = await orchestrate([group, pay]).execute({"bookings": {"car": "C1"}})
    assert result.context == {"bookings": {"car": "C1", "flight": "F1", "hotel": "H1"}}
    assert {name: context["bookings"].get(name) for name, context in seen.items()} == {
        "flight": "F1",
        "hotel": "H1",
    }


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("log", lambda c: c["log"].append("flight"), lambda c: c["log"].append("hotel")),
        ("trip.total", lambda c: c["trip"].update(total=1), lambda c: c["trip"].update(total=2)),
        ("trip", lambda c: c.pop("trip"), lambda c: c["trip"].update(total=2)),
    ],
)
async def test_steps_side_by_side_that_contradict_each_other_are_undone(orchestrate, key, first, second):
    """Both changed one value or one list: no change is dropped in silence, key and step are named, all is undone."""

    def book(name, change):
        return lambda context: (context["bookings"].update({name: "booked"}), change(context))

    group, seen = beside_each_other(flight=book("flight", first), hotel=book("hotel", second))
    result = await orchestrate([group]).execute({"log": [], "trip": {"total": 0}, "bookings": {}})
    assert result.state is SagaState.FAILED
    assert result.error.startswith(f"hotel: InvalidContext: '{key}' in the context")
    assert result.steps == {"flight": UNDONE, "hotel": UNDONE}  # each had its effect
    assert [seen[name]["bookings"][name] for name in ("flight", "hotel")] == ["booked", "booked"]


async def test_the_step_that_failed_first_is_the_reason(orchestrate):
    """Of steps side by side that fail, the first one has the saga turn back, and is what its result names."""
    first_failed = asyncio.Event()

    async def first(_):
        first_failed.set()
        raise Terminal("the first")

    async def second(_):
        while not first_failed.is_set():
            await asyncio.sleep(0)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Terminal("the second") from None

    branches = Parallel(SagaStep("a", first, None), SagaStep("b", second, None))
    result = await orchestrate([branches]).execute({})
    assert (result.state, result.error) == (SagaState.FAILED, "a: Terminal: the first")


async def test_a_failing_branch_stops_the_others_and_all_are_undone(orchestrate, diary):
    """The one that was stopped may have had its effect, so it is undone, too, in reverse."""
    started = asyncio.Event()

    async def endless(_):
        started.set()
        await asyncio.Event().wait()

    async def fail(_):
        await started.wait()
        raise Terminal("no")

    async def undo(_):
        diary.lines.append("-endless")

    steps = [
        diary.step("a"),
        Parallel(SagaStep("endless", endless, undo), diary.step("b"), SagaStep("c", fail, None)),
    ]
    result = await orchestrate(steps).execute({})
    assert result.state is SagaState.FAILED
    assert diary.lines == ["a", "b", "-b", "-endless", "-a"]


async def test_before_the_pivot_it_is_undone_and_after_it_it_goes_on(orchestrate, diary):
    """A pivot that says no turns the saga back; what follows one that said yes is tried until it succeeds."""

    def steps(pivot_error, *errors):
        async def pivot(_):
            if pivot_error:
                raise pivot_error

        tail = diary.step("c", *errors)
        return [
            diary.step("a"),
            SagaStep("pivot", pivot, kind=StepKind.PIVOT),
            SagaStep("c", tail.action),
        ]

    result = await orchestrate(steps(Terminal("no"))).execute({})
    assert (result.state, diary.lines) == (SagaState.FAILED, ["a", "-a"])
    diary.lines.clear()
    result = await orchestrate(steps(None, *[RuntimeError("later")] * 6)).execute({})
    assert (result.state, diary.lines) == (SagaState.COMPLETED, ["a", *["c"] * 7])


async def test_a_saga_that_stands_still_keeps_standing_while_a_branch_ends(orchestrate, clock):
    """What ends beside the step that it stands still at is kept, and does not have the saga go on by itself."""

    async def slow(_):
        await state_is(orchestrator, "s", SagaState.SUSPENDED)
        return {"slow": True}

    def broken(_):
        raise Terminal("no")

    async def broken_later(_):
        await state_is(orchestrator, "s", SagaState.SUSPENDED)
        raise Terminal("no")

    pivot = SagaStep("pivot", lambda _: None, kind=StepKind.PIVOT)
    branches = Parallel(SagaStep("broken", broken), SagaStep("later", broken_later), SagaStep("slow", slow))
    orchestrator = orchestrate([pivot, branches], clock=clock)
    result = await orchestrator.execute({}, saga_id="s")
    assert result.state is SagaState.SUSPENDED
    clock.advance(1_000.0)
    assert await orchestrator.recover() == 0
    view = await orchestrator.show("s")
    assert (view.state, view.due_at, view.context) == (SagaState.SUSPENDED, None, {"slow": True})


async def test_a_pivot_of_unknown_outcome_is_for_a_person(orchestrate, diary):
    """Nobody undoes what may be beyond undoing: the saga is suspended, and an abort needs somebody who knows."""
    steps = [diary.step("a"), diary.step("pivot", *[TimeoutError()] * 2, kind=StepKind.PIVOT, retries=1)]
    steps[1] = SagaStep("pivot", steps[1].action, kind=StepKind.PIVOT, retries=1)
    orchestrator = orchestrate(steps)
    result = await orchestrator.execute({}, saga_id="s")
    assert (result.state, diary.lines) == (SagaState.SUSPENDED, ["a", "pivot", "pivot"])
    with pytest.raises(Exception, match="past its pivot"):
        await orchestrator.abort("s")
    await orchestrator.abort("s", "the bank says it never saw it", force=True)
    assert await orchestrator.recover() == 1
    assert (await orchestrator.result("s")).state is SagaState.ABORTED
    assert diary.lines == ["a", "pivot", "pivot", "-a"]


async def test_a_last_step_that_nobody_says_how_to_undo(orchestrate, diary):
    """Nobody knows what came of it: it stands still, and does not say that all is undone; with None it does."""
    silent = diary.step("b", TimeoutError()).action
    result = await orchestrate([diary.step("a"), SagaStep("b", silent, retries=0)]).execute({})
    assert result.state is SagaState.SUSPENDED
    assert result.error == "b: TimeoutError"
    assert diary.lines == ["a", "b"]

    harmless = diary.step("c", TimeoutError()).action
    result = await orchestrate([diary.step("a"), SagaStep("c", harmless, None, retries=0)]).execute({})
    assert result.state is SagaState.FAILED
    assert diary.lines == ["a", "b", "a", "c", "-a"]


async def test_a_last_step_that_nobody_says_how_to_undo_is_not_cut_short(orchestrate):
    """While it runs there is no way back: an abort is refused, and a step that says that it failed turns back."""
    undone, going, go_on = [], asyncio.Event(), asyncio.Event()

    async def charge(_):
        going.set()
        await go_on.wait()
        raise Terminal("refused")

    steps = [SagaStep("reserve", lambda _: None, undone.append), SagaStep("charge", charge)]
    orchestrator = orchestrate(steps)
    running = asyncio.create_task(orchestrator.execute({}, saga_id="s"))
    await asyncio.wait_for(going.wait(), 60)
    with pytest.raises(NotPossible, match="past its pivot"):
        await orchestrator.abort("s")
    go_on.set()
    assert (await running).state is SagaState.FAILED
    assert len(undone) == 1


async def test_a_saga_is_begun_once(orchestrate, diary):
    """The same id again attaches to the saga, whoever runs it, and gives its result."""
    steps = [diary.step("a")]
    one, other = orchestrate(steps), orchestrate(steps)
    results = await asyncio.gather(*(o.execute({"n": 1}, saga_id="s") for o in (one, other, one, other)))
    assert {result.state for result in results} == {SagaState.COMPLETED}
    assert diary.lines == ["a"]
    assert (await other.execute({"n": 2}, saga_id="s")).context == {"n": 1}


async def test_many_run_at_once(orchestrate, metric):
    """Three hundred sagas that all wait for each other end, none left and none counted twice."""
    meeting = asyncio.Barrier(300)

    async def meet(_):
        async with asyncio.timeout(120):
            await meeting.wait()

    orchestrator = orchestrate([SagaStep("meet", meet, timeout=120.0)])
    results = await asyncio.gather(*(orchestrator.execute({"n": n}) for n in range(300)))
    assert {result.state for result in results} == {SagaState.COMPLETED}
    assert sorted(result.context["n"] for result in results) == list(range(300))
    assert metric("saga_in_progress", saga="order") == 0
    assert metric("saga_started_total", saga="order") == 300


async def test_a_deadline_turns_the_saga_back(orchestrate, diary):
    """The step that is under way is stopped, and undone with the others."""

    async def endless(_):
        await asyncio.Event().wait()

    async def undo(_):
        diary.lines.append("-endless")

    orchestrator = orchestrate([diary.step("a"), SagaStep("endless", endless, undo)], deadline=3.0)
    result = await orchestrator.execute({})
    assert result.state is SagaState.FAILED
    assert diary.lines == ["a", "-endless", "-a"]


async def test_an_abort_from_another_process_stops_the_step_that_runs(orchestrate, diary):
    """It is undone, since it may have had its effect; asking again is no error, asking too late is one."""
    running = asyncio.Event()

    async def endless(_):
        running.set()
        await asyncio.Event().wait()

    async def undo(_):
        diary.lines.append("-endless")

    steps = [diary.step("a"), SagaStep("endless", endless, undo)]
    owner, other = orchestrate(steps), orchestrate(steps)
    waiting = asyncio.create_task(owner.execute({}, saga_id="s"))
    await running.wait()
    await other.abort("s", "the customer left")
    result = await asyncio.wait_for(waiting, 60)
    assert result.state is SagaState.ABORTED
    assert result.error == "the customer left"
    assert diary.lines == ["a", "-endless", "-a"]
    with pytest.raises(Exception, match="it has ended"):
        await other.abort("s")


async def test_who_stops_waiting_does_not_stop_the_saga(orchestrate, diary):
    """A cancelled caller leaves the saga to itself, also while it is being undone."""
    undoing, go_on = asyncio.Event(), asyncio.Event()

    async def undo(_):
        undoing.set()
        await go_on.wait()
        diary.lines.append("-a")

    steps = [SagaStep("a", diary.step("a").action, undo), diary.step("b", Terminal("no"))]
    orchestrator = orchestrate(steps)
    waiting = asyncio.create_task(orchestrator.execute({}, saga_id="s"))
    await undoing.wait()
    waiting.cancel()
    await asyncio.wait({waiting})
    go_on.set()
    assert (await orchestrator.result("s")).state is SagaState.FAILED
    assert diary.lines == ["a", "b", "-a"]


class Order(msgspec.Struct):
    number: int
    paid: bool = False


async def test_a_typed_context_is_held_to_its_type(orchestrate):
    """Steps get an object of the type; a value of another type is refused at the start, and fails a step later on."""

    async def pay(order):
        order.paid = True

    orchestrator = orchestrate([SagaStep("pay", pay)], context_type=Order)
    assert (await orchestrator.execute(Order(7))).context == Order(7, paid=True)
    assert (await orchestrator.execute({"number": 8})).context == Order(8, paid=True)
    with pytest.raises(InvalidContext, match="Expected `int`"):
        await orchestrator.execute({"number": "nine"})

    undone = []
    spoil = orchestrate([SagaStep("spoil", lambda _: {"paid": "maybe"}, undone.append)], context_type=Order)
    assert (await spoil.execute(Order(9))).state is SagaState.FAILED
    assert len(undone) == 1  # it had its effect before it gave what cannot be kept


async def test_a_context_has_a_size(orchestrate):
    """Too large a context is refused at the start; a step that makes it too large has failed, and is undone."""
    undone = []
    orchestrator = orchestrate(
        [SagaStep("grow", lambda _: {"page": "x" * 2000}, undone.append)], context_limit=1000
    )
    with pytest.raises(InvalidContext, match="larger than 1000"):
        await orchestrator.execute({"page": "x" * 2000})
    with pytest.raises(InvalidContext, match="cannot be a context"):
        await orchestrator.execute({"thing": object()})
    result = await orchestrator.execute({})
    assert (result.state, len(undone)) == (SagaState.FAILED, 1)


async def test_a_wait_holds_no_process(orchestrate, diary, clock, metric):
    """While it sleeps nobody owns the saga, nothing is in progress, and whoever comes when it is due goes on."""
    steps = [diary.step("a"), Wait("night", 3600.0), diary.step("b")]
    sleeper, other = orchestrate(steps, clock=clock), orchestrate(steps, clock=clock)
    saga_id = await sleeper.start({})
    assert await sleeper.recover() == 1
    view = await sleeper.show(saga_id)
    assert (view.state, view.owner, view.due_at) == (SagaState.WAITING, "", clock() + 3600.0)
    assert metric("saga_in_progress", saga="order") == 0
    await sleeper.aclose()

    assert await other.recover() == 0
    clock.advance(3600.0)
    assert await other.recover() == 1
    assert (await other.show(saga_id)).state is SagaState.COMPLETED
    assert diary.lines == ["a", "b"]


async def test_a_wait_is_nothing_to_be_warned_of(orchestrate, telemetry, log_file, clock):
    """Who lets go of a saga because it waits says so, and no line of it is more than information."""
    orchestrator = orchestrate([Wait("night", 3600.0), SagaStep("a", lambda _: None)], clock=clock)
    await orchestrator.start({})
    assert await orchestrator.recover() == 1
    clock.advance(3600.0)
    assert await orchestrator.recover() == 1
    telemetry.close()
    lines = [json.loads(line) for line in log_file.read_text().splitlines()]
    assert [line["level"] for line in lines if line["event"] == "saga.left"] == ["info"]
    assert {line["level"] for line in lines} <= {"debug", "info"}


async def test_a_signal_ends_a_wait_whenever_it_comes(orchestrate):
    """Its payload is in the context, whether it came before the wait or during it."""
    orchestrator = orchestrate([Wait("approval", 3600.0, signal="approved"), SagaStep("a", lambda _: None)])
    early = await orchestrator.start({})
    await orchestrator.signal(early, "approved", {"by": "Ada"})
    assert (await orchestrator.result(early)).context == {"by": "Ada"}

    waiting = asyncio.create_task(orchestrator.execute({}, saga_id="late"))
    await state_is(orchestrator, "late", SagaState.WAITING)
    await orchestrator.signal("late", "approved", {"by": "Bob"})
    result = await asyncio.wait_for(waiting, 60)
    assert (result.state, result.context) == (SagaState.COMPLETED, {"by": "Bob"})


@pytest.mark.parametrize("seconds", [0, 0.001, lambda _: -5.0])
async def test_a_signal_that_came_before_its_wait_began_is_in_time(orchestrate, seconds):
    """It counts though the wait has no time left when it begins; without one such a wait fails at once."""
    going, go_on = asyncio.Event(), asyncio.Event()

    async def meanwhile(_):
        going.set()
        async with asyncio.timeout(60):
            await go_on.wait()

    orchestrator = orchestrate([SagaStep("a", meanwhile, None), Wait("w", seconds, signal="paid")])
    running = asyncio.create_task(orchestrator.execute({}, saga_id="s"))
    await asyncio.wait_for(going.wait(), 60)
    await orchestrator.signal("s", "paid", {"by": "Ada"})
    go_on.set()
    result = await running
    assert (result.state, result.context) == (SagaState.COMPLETED, {"by": "Ada"})
    result = await orchestrator.execute({})
    assert (result.state, result.error) == (SagaState.FAILED, "w: no signal paid came in time")


async def test_what_a_signal_brings_must_fit(orchestrate, clock):
    """A payload that makes the context too large fails the saga, or has one past its pivot wait for a person."""
    wait = Wait("approval", 60.0, signal="yes")
    before = orchestrate([wait, SagaStep("a", lambda _: None)], clock=clock, context_limit=100)
    after = orchestrate(
        [SagaStep("a", lambda _: None, kind=StepKind.PIVOT), wait], clock=clock, context_limit=100
    )
    for orchestrator, state in ((before, SagaState.FAILED), (after, SagaState.SUSPENDED)):
        saga_id = await orchestrator.start({"page": "x" * 50})
        await orchestrator.signal(saga_id, "yes", {"other": "x" * 50})
        await orchestrator.recover()
        view = await orchestrator.show(saga_id)
        assert view.state is state
        assert "larger than 100" in view.error
        with pytest.raises(InvalidContext):
            await orchestrator.signal(saga_id, "yes", {"other": object()})


@pytest.mark.parametrize(("required", "state"), [(True, SagaState.FAILED), (False, SagaState.COMPLETED)])
async def test_a_signal_that_does_not_come(orchestrate, diary, clock, required, state):
    """It fails the saga where it is required, and else the saga goes on."""
    steps = [diary.step("a"), Wait("approval", 60.0, signal="approved", required=required)]
    orchestrator = orchestrate(steps, clock=clock)
    saga_id = await orchestrator.start({})
    await orchestrator.recover()
    clock.advance(60.0)
    await orchestrator.recover()
    assert (await orchestrator.show(saga_id)).state is state
    assert diary.lines == (["a", "-a"] if required else ["a"])


async def test_how_long_to_wait_may_be_in_the_context(orchestrate, diary, clock):
    """A function is asked when the wait begins; one that fails has the saga undone."""
    steps = [diary.step("a"), Wait("until", lambda context: context["seconds"])]
    orchestrator = orchestrate(steps, clock=clock)
    asleep, awake, wrong = [await orchestrator.start({"seconds": s}) for s in (60.0, 0, "long")]
    await orchestrator.recover()
    assert (await orchestrator.show(asleep)).due_at == clock() + 60.0
    assert (await orchestrator.show(awake)).state is SagaState.COMPLETED
    view = await orchestrator.show(wrong)
    assert (view.state, view.steps["a"].state, view.steps["until"].state) == (
        SagaState.FAILED,
        UNDONE,
        FAILED,
    )
    assert "TypeError" in view.error
    never = [await orchestrator.start({"seconds": s}) for s in (float("inf"), float("nan"), 1e300)]
    await orchestrator.recover()
    for saga_id in never:
        view = await orchestrator.show(saga_id)
        assert view.state is SagaState.FAILED
        assert view.error.startswith("until: ValueError: nobody waits for")


async def test_a_long_pause_before_a_retry_holds_no_process(orchestrate, diary, clock):
    """The saga waits, and goes on with the attempt where it is due."""
    orchestrator = orchestrate(
        [diary.step("a", RuntimeError("later"))], clock=clock, first_pause=1e6, longest_pause=1e6
    )
    saga_id = await orchestrator.start({})
    await orchestrator.recover()
    assert (await orchestrator.show(saga_id)).state is SagaState.WAITING
    clock.advance(1e6)
    assert await orchestrator.recover() == 1
    assert (await orchestrator.show(saga_id)).state is SagaState.COMPLETED
    assert diary.lines == ["a", "a"]


async def test_the_example_of_the_module_runs(redis_url):
    """What the docstring shows does what it says, with functions of these names."""
    code = inspect.getdoc(orchestrator_module).split("::\n\n")[1].split("\n\nWhat is promised")[0]
    body = textwrap.indent(textwrap.dedent(code), "    ")
    names = dict.fromkeys(("reserve", "release", "charge", "refund", "ship", "thank"), lambda _: None)
    scope = {**vars(saga), **names, "url": redis_url}
    exec(f"async def example():\n{body}\n    return result", scope)
    assert (await scope["example"]()).state is SagaState.COMPLETED
