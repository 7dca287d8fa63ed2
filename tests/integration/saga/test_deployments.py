"""Sagas that run while the program changes go on with the steps, and the type of context, that they were begun with."""

from __future__ import annotations

import json

import msgspec
import pytest

from midas.saga import (
    InvalidContext,
    Release,
    SagaState,
    SagaStep,
    StepState,
    Terminal,
    UnreadableContext,
    Wait,
)

DAY = 86_400.0
WRONG: set[int] = set()


def fail(_):
    raise Terminal("no")


class FirstOrder(msgspec.Struct):
    """The context of version 1."""

    number: int


class Order(msgspec.Struct):
    """That of version 2, with a field that nothing fills in."""

    number: int
    customer: str


class Calls:
    """Which functions were called, with contexts of which type."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, name, *errors):
        left = list(errors)

        def do(context):
            self.lines.append(f"{name} {type(context).__name__}")
            if left:
                raise left.pop(0)

        def undo(context):
            self.lines.append(f"-{name} {type(context).__name__}")

        return SagaStep(name, do, undo)


@pytest.fixture(name="calls")
def _calls():
    return Calls()


async def left_waiting(orchestrate, steps, clock):
    """Begin a saga of version 1, run it up to its wait, and end the program."""
    former = orchestrate(steps, clock=clock, context_type=FirstOrder)
    saga_id = await former.start(FirstOrder(7))
    assert await former.recover() == 1
    await former.aclose()
    clock.advance(DAY)
    return saga_id


async def test_a_typed_saga_outlives_a_change_of_its_type(orchestrate, calls, clock):
    """Given the former steps with the former type, the new program ends old sagas and begins new ones, side by side."""
    former = [calls.step("act"), Wait("night", DAY), calls.step("after")]
    saga_id = await left_waiting(orchestrate, former, clock)
    current = [calls.step("act"), Wait("night", 0.0), calls.step("check")]
    options = {"version": 2, "context_type": Order, "older": {1: Release(former, FirstOrder)}}
    program = orchestrate(current, clock=clock, **options)
    assert await program.recover() == 1
    result = await program.result(saga_id)
    assert (result.state, result.context) == (SagaState.COMPLETED, FirstOrder(7))
    assert (await program.execute(Order(8, "Ada"))).context == Order(8, "Ada")
    assert calls.lines == ["act FirstOrder", "after FirstOrder", "act Order", "check Order"]


async def test_a_context_that_cannot_be_read_is_no_word_of_a_step(
    orchestrate, calls, clock, telemetry, log_file
):
    """A program without the former type does and undoes nothing: it suspends the saga, and says what to do."""
    former = [calls.step("act"), Wait("night", DAY), calls.step("after")]
    saga_id = await left_waiting(orchestrate, former, clock)
    options = {"version": 2, "context_type": Order, "clock": clock}
    hasty = orchestrate([calls.step("act")], older={1: former}, **options)
    await hasty.recover()
    view = await hasty.show(saga_id)
    assert view.state is SagaState.SUSPENDED
    assert "cannot be read as Order" in view.error
    assert "`customer`" in view.error
    assert "older={VERSION: Release(steps, TYPE)}" in view.error
    assert view.steps["after"].attempts == 0
    with pytest.raises(
        UnreadableContext, match=f"saga {saga_id} is SUSPENDED, and its context cannot be read"
    ):
        await hasty.result(saga_id)
    telemetry.close()
    logged = [json.loads(line) for line in log_file.read_text("utf-8").splitlines()]
    assert "saga.suspended" in [line["event"] for line in logged if line["level"] == "error"]

    right = orchestrate([calls.step("act")], older={1: Release(former, FirstOrder)}, **options)
    await right.resume(saga_id)
    await right.recover()
    assert (await right.result(saga_id)).state is SagaState.COMPLETED
    assert calls.lines == ["act FirstOrder", "after FirstOrder"]


async def test_compensations_wait_for_who_can_read_their_context(orchestrate, calls, clock):
    """A saga that turned back stands still as well, nothing counts as not undone, and its first error is kept."""

    def undo(context):
        calls.lines.append(f"-act {type(context).__name__}")
        if len(calls.lines) == 1:
            raise OSError("not now")

    former = [SagaStep("act", lambda _: None, undo), SagaStep("b", fail, None)]
    slow = {"clock": clock, "first_pause": 1e9, "longest_pause": 1e9}
    begun = orchestrate(former, context_type=FirstOrder, **slow)
    saga_id = await begun.start(FirstOrder(7))
    await begun.recover()
    clock.advance(1e9)
    options = {"version": 2, "context_type": Order, "clock": clock}
    hasty = orchestrate([calls.step("act")], older={1: former}, **options)
    await hasty.recover()
    view = await hasty.show(saga_id)
    assert (view.state, view.not_undone) == (SagaState.SUSPENDED, ())
    assert view.error.startswith("b: Terminal: no; its context cannot be read as Order")

    right = orchestrate([calls.step("act")], older={1: Release(former, FirstOrder)}, **options)
    await right.resume(saga_id)
    await right.recover()
    result = await right.result(saga_id)
    assert result.state is SagaState.FAILED
    assert result.steps == {"act": StepState.COMPENSATED, "b": StepState.FAILED}
    assert calls.lines == ["-act FirstOrder"] * 2


class Moody(msgspec.Struct):
    """A context that checks more than its types, and may find it wrong later on."""

    number: int

    def __post_init__(self) -> None:
        if self.number in WRONG:
            raise RuntimeError("this number is out of date")


async def test_a_context_that_becomes_unreadable_between_two_attempts(orchestrate):
    """Whatever the type itself objects to later on suspends the saga before the function is called again."""
    called = []

    def spoil(context):
        called.append(context.number)
        if len(called) == 1:
            WRONG.add(context.number)
            raise OSError("again")

    orchestrator = orchestrate([SagaStep("a", spoil, called.append)], context_type=Moody)
    try:
        with pytest.raises(UnreadableContext, match="out of date"):
            await orchestrator.execute(Moody(7), saga_id="s")
        assert called == [7]
    finally:
        WRONG.clear()
    await orchestrator.resume("s")
    assert (await orchestrator.result("s")).state is SagaState.COMPLETED
    assert called == [7, 7]


async def test_what_the_type_itself_refuses_cannot_be_kept(orchestrate):
    """Its own checks count as those of its types do: nothing is begun, and a step that breaks them has failed."""
    undone = []
    orchestrator = orchestrate([SagaStep("a", lambda _: {"number": 8}, undone.append)], context_type=Moody)
    WRONG.add(8)
    try:
        with pytest.raises(InvalidContext, match="out of date"):
            await orchestrator.execute({"number": 8})
        result = await orchestrator.execute({"number": 7})
    finally:
        WRONG.clear()
    assert (result.state, undone) == (SagaState.FAILED, [Moody(7)])
