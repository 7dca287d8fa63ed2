"""How a piece of work ended, in one of four words."""

from __future__ import annotations

from asyncio import CancelledError
from typing import Final, Literal, TypeAlias

__all__ = ["OUTCOMES", "Outcome", "outcome_of"]

Outcome: TypeAlias = Literal["ok", "error", "cancelled", "timeout"]

OUTCOMES: Final[tuple[Outcome, ...]] = ("ok", "error", "cancelled", "timeout")

# Being told to stop is not a failure of the work: a user left, a program ends, a generator was closed.
_CANCELLED = (CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


def outcome_of(error: BaseException | None) -> Outcome:
    """Return the outcome of work that raised `error`, or of work that did not."""
    if error is None:
        return "ok"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "cancelled" if isinstance(error, _CANCELLED) else "error"
