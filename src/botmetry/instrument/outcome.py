"""How a piece of work ended, in one of four words."""

from __future__ import annotations

import sys
from typing import Final, Literal, TypeAlias

__all__ = ["OUTCOMES", "Outcome", "outcome_of"]

Outcome: TypeAlias = Literal["ok", "error", "cancelled", "timeout"]

OUTCOMES: Final[tuple[Outcome, ...]] = ("ok", "error", "cancelled", "timeout")

# Being told to stop is not a failure of the work: a user left, a program ends, a generator was closed.
_CANCELLED = (KeyboardInterrupt, SystemExit, GeneratorExit)


def outcome_of(error: BaseException | None) -> Outcome:
    """Return the outcome of work that raised `error`, or of work that did not."""
    if error is None:
        return "ok"
    if isinstance(error, TimeoutError):
        return "timeout"
    stopped = isinstance(error, _CANCELLED) or _is_cancelled_task(error) or _is_put_back(error)
    return "cancelled" if stopped else "error"


def _is_cancelled_task(error: BaseException) -> bool:
    # Where nobody has imported asyncio nobody can raise its CancelledError; importing it would cost 20 ms at the start.
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def _is_put_back(error: BaseException) -> bool:
    # Celery ends a run by an exception, too, when the task is to be run again or not at all: Retry, Ignore, Reject.
    celery = sys.modules.get("celery.exceptions")
    return celery is not None and isinstance(error, celery.TaskPredicate)
