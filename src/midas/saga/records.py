"""A saga as it lies in Redis, and as people are shown it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from midas.saga.errors import UnreadableSaga
from midas.saga.states import SagaState, StepState

_STEP: Final = "step:"
_SIGNAL: Final = "signal:"
MOST_ERROR_CHARACTERS: Final = 500


class StepRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of one saga.

    Attributes:
        state: Where it is.
        attempts: How often the action was begun.
        failures: Errors that used up a retry.
        undo_attempts: How often the compensation was begun.
        undo_failures: Errors of the compensation that used up a retry.
        doubtful: Whether an attempt ended without anybody knowing how: a later error does not mean "no effect".
        due: Until when to wait, ms since 1970; 0 where nothing is waited for.
        skipped: Whether a person said to go on without it.
        error: What the action said last when it failed.
        undo_error: Why the compensation was given up.
    """

    state: StepState = StepState.PENDING
    attempts: int = 0
    failures: int = 0
    undo_attempts: int = 0
    undo_failures: int = 0
    doubtful: bool = False
    due: int = 0
    skipped: bool = False
    error: str = ""
    undo_error: str = ""

    @property
    def is_not_undone(self) -> bool:
        """Whether its compensation was given up, and nobody has said that this may be."""
        return bool(self.undo_error) and not self.skipped


class Transition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a saga's history.

    Attributes:
        at: When, ms since 1970 by Redis's clock; 0 until it is written.
        epoch: Under which owner.
        step: Which step; empty where the saga itself is meant.
        state: What it became.
        attempt: Which attempt, where it is one.
        detail: What else is known, such as an error.
    """

    at: int = 0
    epoch: int = 0
    step: str = ""
    state: str = ""
    attempt: int = 0
    detail: str = ""


@dataclass(slots=True)
class SagaRecord:
    """Everything about one saga; times are ms since 1970 by Redis's clock, 0 for none.

    Attributes:
        goal: How it ends once it is undone, empty while it goes forward.
        abort: Why somebody wants it to be undone; empty where nobody does.
        pivoted: Whether the pivot was begun: there is no way back.
        recoveries: Owners that died since a step was finished.
        order: The names of all steps and waits, in order.
        due: When it needs an owner, None where it needs none.
    """

    id: str
    release: str
    state: SagaState
    epoch: int
    revision: int
    owner: str
    created: int
    deadline: int
    goal: str
    error: str
    abort: str
    pivoted: bool
    recoveries: int
    context: bytes
    carrier: dict[str, str]
    steps: dict[str, StepRecord]
    signals: dict[str, bytes]
    order: tuple[str, ...] = ()
    due: float | None = None

    @classmethod
    def parse(cls, saga_id: str, flat: Sequence[bytes], due: bytes | None = None) -> SagaRecord:
        """Read what ``HGETALL`` gave.

        Raises:
            UnreadableSaga: It says something that this program does not know.
        """
        try:
            return cls._parse(saga_id, dict(_pairs(flat)), due)
        except (ValueError, TypeError, msgspec.MsgspecError) as error:
            raise UnreadableSaga(saga_id, str(error)) from error

    @classmethod
    def _parse(cls, saga_id: str, fields: Mapping[str, bytes], due: bytes | None) -> SagaRecord:

        def text(name: str) -> str:
            return fields.get(name, b"").decode()

        def number(name: str) -> int:
            return int(fields.get(name) or 0)

        return cls(
            id=saga_id,
            release=text("release"),
            state=SagaState(text("state")),
            epoch=number("epoch"),
            revision=number("revision"),
            owner=text("owner"),
            created=number("created"),
            deadline=number("deadline"),
            goal=text("goal"),
            error=text("error"),
            abort=text("abort"),
            pivoted=text("pivoted") == "1",
            recoveries=number("recoveries"),
            context=fields.get("context", b"\x80"),
            carrier=msgspec.json.decode(fields.get("carrier") or b"{}", type=dict[str, str]),
            steps={
                name.removeprefix(_STEP): msgspec.json.decode(value, type=StepRecord)
                for name, value in fields.items()
                if name.startswith(_STEP)
            },
            signals={n.removeprefix(_SIGNAL): v for n, v in fields.items() if n.startswith(_SIGNAL)},
            order=msgspec.json.decode(fields.get("order") or b"[]", type=tuple[str, ...]),
            due=None if due is None else float(due),
        )

    def step(self, name: str) -> StepRecord:
        """Give a step's record, a new one where nothing has happened to it."""
        return self.steps.get(name) or StepRecord()


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaResult:
    """How a saga ended, or where it stands still.

    Attributes:
        saga_id: Which saga.
        state: COMPLETED, FAILED, ABORTED, COMPENSATION_FAILED or SUSPENDED once nothing goes on by itself.
        context: What its steps made of it: a dict, or an object of the declared type.
        steps: The state of each step, in order.
        error: Why it did not complete; None where it did.
    """

    saga_id: str
    state: SagaState
    context: Any
    steps: Mapping[str, StepState]
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaView:
    """A saga as people look at it; times are seconds since 1970 by Redis's clock.

    Attributes:
        due_at: When it needs an owner: the end of a lease or a wait; None where it needs none.
        not_undone: Steps whose compensation was given up.
        history: What happened, the latest last.
        is_readable: Whether this program can read its record; else id and state are all that is known, and ``error``
            says why.
    """

    saga_id: str
    name: str
    release: str
    state: SagaState
    epoch: int
    owner: str
    created_at: float
    due_at: float | None
    recoveries: int
    error: str
    abort: str
    context: dict[str, Any]
    steps: Mapping[str, StepRecord]
    not_undone: tuple[str, ...]
    history: tuple[Transition, ...] = field(default=(), repr=False)
    is_readable: bool = True

    @classmethod
    def unreadable(cls, saga_id: str, name: str, state: SagaState, moved_at: float, reason: str) -> SagaView:
        """Show what is known of a saga whose record cannot be read; it was begun ``moved_at`` at the latest."""
        return cls(
            saga_id=saga_id,
            name=name,
            release="",
            state=state,
            epoch=0,
            owner="",
            created_at=moved_at,
            due_at=None,
            recoveries=0,
            error=f"unreadable: {reason}",
            abort="",
            context={},
            steps={},
            not_undone=(),
            is_readable=False,
        )


def pack_step(name: str, record: StepRecord) -> tuple[str, bytes]:
    """Encode a step's record as field and value."""
    return _STEP + name, msgspec.json.encode(record)


def parse_transition(line: bytes) -> Transition:
    """Read a line of the history: the time, a blank, and JSON."""
    at, _, entry = line.partition(b" ")
    return msgspec.structs.replace(msgspec.json.decode(entry, type=Transition), at=int(at))


def reason_of(error: BaseException) -> str:
    """Say in a line what an action raised, even where its text cannot be sent, as of an odd file name, or be had."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 -- an error that cannot even say what it is, is one all the same
        text = "(its text cannot be had)"
    reason = f"{type(error).__name__}: {text}".removesuffix(": ")[:MOST_ERROR_CHARACTERS]
    return reason.encode("utf-8", "replace").decode()


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    for position in range(0, len(flat), 2):
        yield flat[position].decode(), flat[position + 1]
