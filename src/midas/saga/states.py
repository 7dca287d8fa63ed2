"""The states of a saga and of its steps."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class SagaState(StrEnum):
    """Where a saga is.

    IDLE has nobody working on it yet. RUNNING goes forward, COMPENSATING backward. WAITING sleeps, or waits for a
    signal, and nobody holds it. COMPLETED did every step. FAILED and ABORTED undid every step, because one failed or
    because somebody asked for it. COMPENSATION_FAILED could not undo all of it, and SUSPENDED can go neither forward
    nor backward: both wait for a person.
    """

    IDLE = "IDLE"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    SUSPENDED = "SUSPENDED"

    @property
    def is_over(self) -> bool:
        """Whether the saga will never change again."""
        return self in ENDED

    @property
    def needs_a_person(self) -> bool:
        """Whether the saga stands still until somebody resumes, skips, resolves or aborts it."""
        return self in PARKED


class StepState(StrEnum):
    """Where a step is.

    UNKNOWN was begun, and nobody knows whether it had its effect: its process died, it took too long, or it was
    stopped. It is run again under the same idempotency key, or undone. FAILED said that it failed; where its
    ``undo_error`` is set, what it did could not be undone.
    """

    PENDING = "PENDING"
    EXECUTING = "EXECUTING"
    UNKNOWN = "UNKNOWN"
    COMPLETED = "COMPLETED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    FAILED = "FAILED"


ENDED: Final = frozenset({SagaState.COMPLETED, SagaState.FAILED, SagaState.ABORTED})
PARKED: Final = frozenset({SagaState.COMPENSATION_FAILED, SagaState.SUSPENDED})
TO_UNDO: Final = frozenset(
    {StepState.EXECUTING, StepState.UNKNOWN, StepState.COMPLETED, StepState.COMPENSATING}
)
"""A step in one of these had its effect, or may have had it."""
