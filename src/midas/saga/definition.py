"""What a saga consists of, checked before the first one runs.

A saga is a list of steps. Before the *pivot*, the point of no return, each step can be undone or says that there is
nothing to undo; after it, steps are only tried again until they succeed. A saga without a pivot can be undone to the
end; a last step of which nobody says how to undo it is one. Steps in a ``Parallel`` run side by side; a ``Wait`` lets
go of the saga until a time or a signal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypeAlias

from midas.saga.errors import SagaDefinitionError

Action: TypeAlias = Callable[[Any], Awaitable[Any] | Any]
"""Takes the context; may change it, and may return a dict that is put into it. Plain functions run in a thread each."""

DEFAULT_RETRIES: Final = 3
FORWARD_RETRIES: Final = 20
"""After the pivot there is only forward: some ten minutes of attempts until a person is asked."""
LONGEST_WAIT_SECONDS: Final = 100 * 365 * 86_400.0
"""A hundred years: whoever waits for longer means something else."""
_LONGEST_NAME: Final = 64


def _unsaid(_: Any) -> None:
    raise SagaDefinitionError("nobody said how to undo this step")


class StepKind(StrEnum):
    """What can become of a step: undone; the point of no return; tried until it succeeds."""

    COMPENSATABLE = "compensatable"
    PIVOT = "pivot"
    RETRIABLE = "retriable"


class Unit:
    """What a saga consists of: a ``SagaStep``, a ``Wait`` or a ``Parallel``."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class SagaStep(Unit):
    """One step.

    Attributes:
        name: What it is called, unique in the saga; a label of metrics and a part of the idempotency key.
        action: Does it. Must stand being called again with the same idempotency key.
        compensation: Undoes it. Must stand that the action never happened, and being called again. None says that there
            is nothing to undo, whatever came of the action. Leaving it out is for the pivot and what follows it, and
            makes the last step of a saga that has no pivot its pivot: nobody said how to undo it, so a saga that does
            not know whether it happened stands still instead of saying that all is undone.
        timeout: Seconds that one attempt may take, of the action as of the compensation.
        retries: How often the action is tried again after an error that may pass; None for 3, after the pivot 20.
        kind: None to have it follow from the compensation and from where the step stands.
        terminal: Exceptions that are no use trying again after, as ``Terminal`` is.
    """

    name: str
    action: Action
    compensation: Action | None = _unsaid
    timeout: float = 30.0
    retries: int | None = None
    kind: StepKind | None = None
    terminal: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not callable(self.action) or not (self.compensation is None or callable(self.compensation)):
            raise SagaDefinitionError(f"step {self.name!r}: action and compensation are functions")
        if not self.timeout > 0:
            raise SagaDefinitionError(
                f"step {self.name!r}: a timeout is more than 0 seconds and not {self.timeout!r}"
            )
        if self.retries is not None and self.retries < 0:
            raise SagaDefinitionError(f"step {self.name!r}: retries are 0 or more and not {self.retries!r}")

    @property
    def most_failures(self) -> int:
        """Errors that may pass after which it is tried again."""
        if self.retries is not None:
            return self.retries
        return FORWARD_RETRIES if self.kind is StepKind.RETRIABLE else DEFAULT_RETRIES


@dataclass(frozen=True, slots=True)
class Wait(Unit):
    """Lets go of the saga until a time, or until somebody sends a signal; no process needs to live meanwhile.

    Attributes:
        name: What it is called, unique in the saga.
        seconds: How long: to sleep, or for the signal to come; up to a hundred years. A function is given the context
            when the wait begins; less than 0, a time that is over, counts as 0.
        signal: What to wait for, a name of at least one character; None sleeps. What the signal brings is put into the
            context.
        required: Whether a signal that does not come fails the saga; else it goes on.
    """

    name: str
    seconds: float | Callable[[Any], float]
    signal: str | None = None
    required: bool = True

    def __post_init__(self) -> None:
        _check_name(self.name)
        said = callable(self.seconds) or (
            isinstance(self.seconds, int | float) and 0 <= self.seconds <= LONGEST_WAIT_SECONDS
        )
        if not said:
            raise SagaDefinitionError(
                f"wait {self.name!r}: from 0 to {LONGEST_WAIT_SECONDS:.0f} seconds, a hundred years, and not "
                f"{self.seconds!r}"
            )
        if self.signal is not None and not (isinstance(self.signal, str) and self.signal):
            raise SagaDefinitionError(
                f"wait {self.name!r}: a signal is called like 'approved' and not {self.signal!r}; None only sleeps"
            )


@dataclass(frozen=True, slots=True, init=False)
class Parallel(Unit):
    """Runs steps side by side; each has its own checkpoints. When one fails, the others are stopped, and all undone.

    Each is given the context as it is when it begins, and what it changes is put together with what the others changed,
    down to the leaves of nested mappings. Two that change the same value differently, or the same list at all,
    contradict each other. Whichever ends last has had its effect by then, so it counts as failed with an outcome that
    is not known (``InvalidContext`` names the key), and is undone with the others; its other changes are there for its
    compensation. So let each have a key of its own.
    """

    steps: tuple[SagaStep, ...]

    def __init__(self, *steps: SagaStep) -> None:
        object.__setattr__(self, "steps", steps)


@dataclass(frozen=True, slots=True)
class Release:
    """The steps of an earlier version, with the type that contexts had then.

    Attributes:
        steps: In order, under the names and of the kinds they had.
        context_type: As ``SagaConfig.context_type`` was; None for a plain dict.
    """

    steps: Sequence[Unit]
    context_type: type | None = None


class Definition:
    """The steps of one version of a saga.

    Attributes:
        units: In order, each step with its kind.
        release: Version and fingerprint of the names: only sagas begun under the same are run by these steps.

    Raises:
        SagaDefinitionError: They cannot be a saga.
    """

    def __init__(self, units: Sequence[Unit], version: int) -> None:
        if not units:
            raise SagaDefinitionError("a saga has at least one step")
        self.units = _with_kinds(units)
        names = [part.name for part in _flat(self.units)]
        for name in names:
            if names.count(name) > 1:
                raise SagaDefinitionError(f"two steps are called {name!r}")
        self.release = f"{version}-{_fingerprint(self.units)}"

    @property
    def steps(self) -> tuple[SagaStep, ...]:
        """All steps in order, those that run side by side one after the other."""
        return tuple(part for part in _flat(self.units) if isinstance(part, SagaStep))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all steps and waits in order."""
        return tuple(part.name for part in _flat(self.units))


def _with_kinds(units: Sequence[Unit]) -> tuple[Unit, ...]:
    decided: list[Unit] = []
    past_pivot = False
    for position, unit in enumerate(units):
        is_last = position == len(units) - 1
        if isinstance(unit, Wait):
            decided.append(unit)
        elif isinstance(unit, Parallel):
            decided.append(_group(unit, past_pivot=past_pivot))
        elif isinstance(unit, SagaStep):
            decided.append(_decide(unit, past_pivot=past_pivot, is_last=is_last))
            past_pivot = past_pivot or unit.kind is StepKind.PIVOT
        else:
            raise SagaDefinitionError(
                f"a saga consists of steps, groups and waits and not of {type(unit).__name__}"
            )
    return tuple(decided)


def _group(group: Parallel, *, past_pivot: bool) -> Parallel:
    if not group.steps:
        raise SagaDefinitionError("a parallel group has at least one step")
    for step in group.steps:
        if not isinstance(step, SagaStep):
            raise SagaDefinitionError(f"a parallel group holds steps and not {type(step).__name__}")
        if step.kind is StepKind.PIVOT:
            raise SagaDefinitionError(f"step {step.name!r}: a pivot stands alone and not in a parallel group")
    return Parallel(*(_decide(step, past_pivot=past_pivot, is_last=False) for step in group.steps))


def _decide(step: SagaStep, *, past_pivot: bool, is_last: bool) -> SagaStep:
    said = step.compensation is not _unsaid
    if past_pivot:
        if step.kind is StepKind.PIVOT:
            raise SagaDefinitionError(f"step {step.name!r}: there is at most one pivot")
        if step.kind is StepKind.COMPENSATABLE or (said and step.compensation is not None):
            raise SagaDefinitionError(
                f"step {step.name!r} stands after the pivot: nothing undoes it any more"
            )
        return replace(step, kind=StepKind.RETRIABLE, compensation=None)
    if step.kind is StepKind.RETRIABLE:
        raise SagaDefinitionError(f"step {step.name!r} is retriable, which is for what follows a pivot")
    if step.kind is StepKind.PIVOT or (step.kind is None and is_last and not said):
        if said and step.compensation is not None:
            raise SagaDefinitionError(f"step {step.name!r} is the pivot: nothing undoes it")
        return replace(step, kind=StepKind.PIVOT, compensation=None)
    if not said:
        raise SagaDefinitionError(
            f"step {step.name!r} needs a compensation; say compensation=None if there is nothing to undo"
        )
    return replace(step, kind=StepKind.COMPENSATABLE)


def _flat(units: Sequence[Unit]) -> Iterator[SagaStep | Wait]:
    for unit in units:
        if isinstance(unit, Parallel):
            yield from unit.steps
        elif isinstance(unit, SagaStep | Wait):
            yield unit


def _fingerprint(units: Sequence[Unit]) -> str:
    shape = [[part.name for part in _flat([unit])] for unit in units]
    kinds = [part.kind if isinstance(part, SagaStep) else "wait" for part in _flat(units)]
    return hashlib.sha256(f"{shape} {kinds}".encode()).hexdigest()[:8]


def _check_name(name: str) -> None:
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= _LONGEST_NAME
        or not name.isprintable()
        or ":" in name
    ):
        raise SagaDefinitionError(f"a step is called like 'charge_card', without a colon, and not {name!r}")
