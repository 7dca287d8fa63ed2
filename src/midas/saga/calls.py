"""Every move of a saga, as the call of a script; the event loop and the lease keeper's thread send the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import msgspec

from midas.redis.scripts import Argument, Call, Script
from midas.saga.config import SagaConfig
from midas.saga.definition import Definition
from midas.saga.keys import NAMES, SagaKeys
from midas.saga.records import StepRecord, Transition, pack_step
from midas.saga.states import SagaState, StepState

Clock: TypeAlias = Callable[[], float]

_PACKAGE: Final = "midas.saga"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one checkpoint writes, all of it or nothing.

    Attributes:
        steps: Steps that are now as given.
        fields: Other fields of the saga.
        state: What the saga is now; None where it stays what it is.
        leave_until: The owner lets go, and the saga needs the next one at this moment, ms; None goes on.
        awaits: The signal that brings the next owner earlier.
        guarded: Whether an abort that was asked for goes first, and nothing is written then.
    """

    steps: Mapping[str, StepRecord] = field(default_factory=dict)
    fields: Mapping[str, Argument] = field(default_factory=dict)
    state: SagaState | None = None
    leave_until: int | None = None
    awaits: str = ""
    guarded: bool = False

    def after(self, earlier: Change) -> Change:
        """Give both as one; of what both say, this one's word counts."""
        return replace(self, steps={**earlier.steps, **self.steps}, fields={**earlier.fields, **self.fields})


@dataclass(frozen=True, slots=True)
class Held:
    """A saga that an owner holds, as the keeper renews it."""

    saga_id: str
    release: str
    epoch: int
    owner: str


class Calls:
    """Builds the calls for one kind of saga.

    Args:
        config: The saga's settings.
        clock: What time it is, in seconds since 1970. None, the normal case, takes the clock of the Redis server,
            the one that all processes share; tests give their own.
    """

    def __init__(self, config: SagaConfig, clock: Clock | None) -> None:
        self.keys = SagaKeys(config.name)
        self.durability = config.durability
        self._common = self.keys.common
        self._config = config
        self._clock = clock
        self._lease = milliseconds(config.lease_seconds)

    def begin(
        self, saga_id: str, definition: Definition, owner: str, context: bytes, carrier: Mapping[str, str]
    ) -> Call:
        """A new saga; without an owner it is due at once."""
        deadline = milliseconds(self._config.deadline or 0)
        told = (context, msgspec.json.encode(dict(carrier)), msgspec.json.encode(definition.names))
        release = definition.release
        return self._about("begin", saga_id, release, owner, self._lease, deadline, release, *told)

    def claim(self, saga_id: str, release: str, owner: str) -> Call:
        """A saga that is due gets an owner."""
        return self._about("claim", saga_id, release, owner, self._lease, self._config.max_recoveries)

    def checkpoint(
        self, held: Held, revision: int, token: str, change: Change, before: Mapping[str, StepRecord]
    ) -> Call:
        """The owner says what happened; ``before`` is how the steps were, for the history."""
        fields = _fields(change)
        return self._about(
            "checkpoint",
            held.saga_id,
            held.release,
            held.epoch,
            revision,
            token,
            int(change.guarded),
            change.state or "",
            self._lease,
            "" if change.leave_until is None else change.leave_until,
            change.awaits,
            len(fields) // 2,
            *fields,
            *_notes(held.epoch, change, before),
        )

    def renew(self, held: Sequence[Held]) -> Call:
        """The owner of these lives."""
        keys = [key for h in held for key in (self.keys.saga(h.saga_id), self.keys.due(h.release))]
        arguments = (part for h in held for part in (h.saga_id, h.epoch, h.owner))
        return self._call("renew", keys, "", self._lease, *arguments)

    def abort(self, saga_id: str, release: str, reason: str, *, forced: bool) -> Call:
        """Somebody wants it to be undone."""
        return self._about("abort", saga_id, release, reason, int(forced))

    def signal(self, saga_id: str, release: str, signal: str, payload: bytes) -> Call:
        """Something that it waits for has come."""
        return self._about("signal", saga_id, release, signal, payload)

    def mend(self, held: Held, revision: int, change: Change, before: Mapping[str, StepRecord]) -> Call:
        """A person decided about it."""
        fields = _fields(change)
        notes = _notes(held.epoch, change, before)
        state = change.state or ""
        return self._about(
            "mend", held.saga_id, held.release, held.epoch, revision, state, len(fields) // 2, *fields, *notes
        )

    def look(self, saga_id: str, release: str, *, lines: int) -> Call:
        """How is it?"""
        return self._about("look", saga_id, release, lines)

    def due(self, releases: Sequence[str], limit: int) -> Call:
        """Which of these releases need an owner, and when the next ones will?"""
        keys = [self.keys.releases, *map(self.keys.due, releases)]
        return self._call("due", keys, "", limit)

    def overdue(self, releases: Iterable[str]) -> Call:
        """How many of these need an owner?"""
        return self._call("overdue", [self.keys.due(release) for release in releases], "")

    def list(self, states: Iterable[SagaState], limit: int) -> Call:
        """Which are in these states?"""
        return self._call("list", [self.keys.index(state) for state in states], "", limit)

    def measure(self) -> Call:
        """How much is where?"""
        return self._call("measure", [self.keys.counters, *map(self.keys.index, SagaState)], "")

    def introduce(self) -> Call:
        """There are sagas of this name."""
        return self._call("introduce", [NAMES], "", self._config.name)

    def _about(self, script: str, saga_id: str, release: str, *arguments: Argument) -> Call:
        keys = (*self.keys.own(saga_id, release), *self._common)
        return self._call(script, keys, saga_id, *arguments)

    def _call(self, script: str, keys: Sequence[str], saga_id: str, *arguments: Argument) -> Call:
        now = "" if self._clock is None else str(round(self._clock() * 1000))
        retention = milliseconds(self._config.retention)
        fixed = (now, saga_id, retention, self._config.history_limit, self.keys.channel)
        return Call(Script(_PACKAGE, script), keys, (*fixed, *arguments))


def milliseconds(seconds: float) -> int:
    """Turn a duration or a moment into what the scripts count in."""
    return round(seconds * 1000)


def _fields(change: Change) -> list[Argument]:
    flat: list[Argument] = [part for pair in change.fields.items() for part in pair]
    for name, record in change.steps.items():
        flat += pack_step(name, record)
    return flat


def _notes(epoch: int, change: Change, before: Mapping[str, StepRecord]) -> list[bytes]:
    """Write down each transition, and that an attempt which nobody saw end has an unknown outcome."""
    notes: list[Transition] = []
    for name, after in change.steps.items():
        earlier = before.get(name, StepRecord())
        if earlier.state is StepState.EXECUTING and after.state in {
            StepState.EXECUTING,
            StepState.COMPENSATING,
        }:
            notes.append(
                Transition(epoch=epoch, step=name, state=StepState.UNKNOWN, attempt=earlier.attempts)
            )
        undoing = after.undo_attempts > 0
        notes.append(
            Transition(
                epoch=epoch,
                step=name,
                state=after.state,
                attempt=after.undo_attempts if undoing else after.attempts,
                detail=after.undo_error or after.error,
            )
        )
    return [msgspec.json.encode(note) for note in notes]
