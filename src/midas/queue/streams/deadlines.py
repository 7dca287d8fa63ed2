"""Ends runs whose time is over, with one timer for all of them.

A timer a task would cost as much as a short task; here a task costs a comparison, and the timer rings for the earliest.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from midas.queue.streams.task import StreamTask


class Deadlines:
    """The deadlines of the tasks that run in one process.

    Args:
        ring: Called with a task whose time is over.
    """

    def __init__(self, ring: Callable[[StreamTask], None]) -> None:
        self._ring = ring
        self._watched: dict[str, tuple[float, StreamTask]] = {}
        self._earliest = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, task: StreamTask) -> None:
        """Watch a task that begins now."""
        deadline = task.started_at + task.timeout
        self._watched[task.message_id] = (deadline, task)
        if deadline < self._earliest:
            self._set(deadline)

    def forget(self, task: StreamTask) -> None:
        """Watch it no more. A timer that was set for it rings for nothing."""
        self._watched.pop(task.message_id, None)

    def _set(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        # The loop's clock is time.monotonic() in asyncio, and another one in uvloop.
        self._earliest = deadline
        self._timer = loop.call_later(max(0.0, deadline - time.monotonic()), self._check)

    def _check(self) -> None:
        now = time.monotonic()
        self._earliest, self._timer = math.inf, None
        for deadline, task in list(self._watched.values()):
            if deadline <= now:
                del self._watched[task.message_id]
                self._ring(task)
        if self._watched:
            self._set(min(deadline for deadline, _ in self._watched.values()))
