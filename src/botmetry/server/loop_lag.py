"""How late the event loop calls its timers, which is how long everything else in it waits too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["LoopLag"]

# Four timer calls a second cost some microseconds; a pause of the loop longer than this is always seen, a
# shorter one with the probability of its share of the period.
_PERIOD_SECONDS = 0.25


class LoopLag:
    """Reports how late a timer was called, again and again. It is a timer and no task: nothing to cancel or await."""

    def __init__(self, report: Callable[[float], None], period_seconds: float = _PERIOD_SECONDS) -> None:
        self._report = report
        self._period = period_seconds
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure the running loop."""
        self._schedule(asyncio.get_running_loop())

    def stop(self) -> None:
        """End measuring. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._period
        self._timer = loop.call_at(due, self._measure, loop, due)

    def _measure(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._report(max(0.0, loop.time() - due))
        self._schedule(loop)
