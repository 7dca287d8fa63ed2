"""What cannot be a saga is refused before one runs, in words that say what to do."""

from __future__ import annotations

import msgspec
import pytest

from midas.saga import Parallel, SagaConfig, SagaDefinitionError, SagaOrchestrator, SagaStep, StepKind, Wait
from midas.saga.context import ContextCodec
from midas.saga.definition import Definition
from midas.saga.keys import SagaKeys, check_id


def nothing(_):
    """Do nothing."""


def step(name, *, undo=nothing, **options):
    return SagaStep(name, nothing, undo, **options)


PIVOT = SagaStep("pivot", nothing, kind=StepKind.PIVOT)

WRONG = {
    "at least one step": [],
    "two steps are called 'a'": [step("a"), Parallel(step("b"), step("a"))],
    "'a' needs a compensation; say compensation=None": [SagaStep("a", nothing), step("b")],
    "'z' needs a compensation": [SagaStep("z", nothing, kind=StepKind.COMPENSATABLE)],
    "'b' stands after the pivot: nothing undoes it": [PIVOT, step("b")],
    "'c' stands after the pivot": [PIVOT, step("c", undo=None, kind=StepKind.COMPENSATABLE)],
    "at most one pivot": [PIVOT, SagaStep("b", nothing, kind=StepKind.PIVOT)],
    "is the pivot: nothing undoes it": [step("a", kind=StepKind.PIVOT)],
    "a pivot stands alone": [Parallel(step("a"), PIVOT)],
    "which is for what follows a pivot": [step("a", kind=StepKind.RETRIABLE)],
    "needs a compensation": [Parallel(SagaStep("a", nothing))],
    "holds steps and not Wait": [Parallel(Wait("w", 1.0))],
    "a parallel group has at least one step": [Parallel()],
    "consists of steps, groups and waits and not of function": [nothing],
}


@pytest.mark.parametrize("words", WRONG)
def test_a_saga_that_cannot_be_undone_is_refused(words):
    """Each rule of what may stand before and after the point of no return."""
    with pytest.raises(SagaDefinitionError, match=words):
        Definition(WRONG[words], 1)


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("called like 'charge_card'", lambda: step("")),
        ("called like 'charge_card'", lambda: step("a:b")),
        ("a timeout is more than 0", lambda: step("a", timeout=0)),
        ("retries are 0 or more", lambda: step("a", retries=-1)),
        ("are functions", lambda: SagaStep("a", "no function", None)),
        ("from 0 to .* a hundred years, and not -1.0", lambda: Wait("w", -1.0)),
        ("and not inf", lambda: Wait("w", float("inf"), signal="go")),
        ("and not nan", lambda: Wait("w", float("nan"))),
        ("and not '5'", lambda: Wait("w", "5")),
        ("a signal is called like 'approved' and not ''", lambda: Wait("w", 1.0, signal="")),
        ("called like 'approved' and not 7", lambda: Wait("w", 1.0, signal=7)),
        (
            "older gives steps of version 1, which is",
            lambda: SagaOrchestrator([step("a")], older={1: [step("a")]}),
        ),
        ("version is a number from 0 on", lambda: SagaConfig(version=-1)),
        ("lease_seconds is more than 0", lambda: SagaConfig(lease_seconds=0)),
        ("deadline is a number", lambda: SagaConfig(deadline=float("nan"))),
        ("called like 'import'", lambda: SagaKeys("Import")),
        ("a saga id is 1 to 128", lambda: check_id("a b")),
        ("a msgspec.Struct and not dict", lambda: ContextCodec(dict, 100)),
        ("array_like", lambda: ContextCodec(msgspec.defstruct("A", ["a"], array_like=True), 100)),
        (
            "cannot be kept",
            lambda: ContextCodec(msgspec.defstruct("A", [("a", int | float | str | bytes | _Odd)]), 100),
        ),
    ],
)
def test_parts_are_refused_one_by_one(words, make):
    """A value out of its range is named with what would be right."""
    with pytest.raises(SagaDefinitionError, match=words):
        make()


class _Odd(msgspec.Struct):
    """One of two untagged structs, which cannot be told from each other."""


def test_kinds_follow_from_where_a_step_stands():
    """Before the pivot a step can be undone, after it it is tried until it succeeds, with more retries."""
    last = SagaStep("last", nothing)
    definition = Definition(
        [step("a"), Parallel(step("b"), step("c")), PIVOT, Parallel(last), Wait("w", 1.0)], 1
    )
    kinds = {s.name: (s.kind, s.most_failures, s.compensation) for s in definition.steps}
    assert kinds["b"] == (StepKind.COMPENSATABLE, 3, nothing)
    assert kinds["pivot"] == (StepKind.PIVOT, 3, None)
    assert kinds["last"] == (StepKind.RETRIABLE, 20, None)
    assert definition.names == ("a", "b", "c", "pivot", "last", "w")


def test_a_last_step_that_nobody_says_how_to_undo_is_the_pivot():
    """Left out is not None: only who says that there is nothing to undo has a saga say that it is undone."""
    left_out, nothing_to_undo = SagaStep("last", nothing), step("last", undo=None)
    assert Definition([step("a"), left_out], 1).steps[1].kind is StepKind.PIVOT
    assert Definition([left_out], 1).steps[0].kind is StepKind.PIVOT
    assert Definition([step("a"), nothing_to_undo], 1).steps[1].kind is StepKind.COMPENSATABLE
    assert Definition([PIVOT, left_out], 1).steps[1].kind is StepKind.RETRIABLE


def test_a_release_is_the_version_and_the_shape():
    """Whatever changes which sagas the steps can run changes the release; a new function does not."""
    releases = [
        Definition([step("a"), step("b")], 1),
        Definition([step("b"), step("a")], 1),
        Definition([Parallel(step("a"), step("b"))], 1),
        Definition([step("a"), step("b")], 2),
    ]
    assert len({definition.release for definition in releases}) == 4
    other = SagaStep("a", lambda _: 1, lambda _: 2, timeout=1.0)
    assert Definition([other, step("b")], 1).release == releases[0].release
