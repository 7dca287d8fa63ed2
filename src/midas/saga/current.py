"""Tells an action which attempt it is, without being one of its arguments."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Direction: TypeAlias = Literal["action", "compensation"]


@dataclass(frozen=True, slots=True)
class StepRun:
    """One attempt of a step or of its compensation.

    Attributes:
        saga: The saga's name.
        saga_id: Which saga.
        step: The step's name.
        direction: ``action`` or ``compensation``.
        attempt: Counted from 1, over all processes that have had the saga.
        epoch: Counts the saga's owners: a fencing token that grows with each.
    """

    saga: str
    saga_id: str
    step: str
    direction: Direction
    attempt: int
    epoch: int

    @property
    def idempotency_key(self) -> str:
        """The same in each attempt, whoever makes it; hand it to whatever the step calls."""
        return f"{self.saga_id}:{self.step}:{self.direction}"


CURRENT: Final[ContextVar[StepRun]] = ContextVar("midas_saga_step")


def current_step() -> StepRun:
    """Give the attempt that the caller is part of.

    Raises:
        LookupError: The caller is not within a step.
    """
    return CURRENT.get()
