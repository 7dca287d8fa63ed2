"""Keeps account of work that goes on although nobody waits for it any more: threads cannot be stopped."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class Strays:
    """What goes on in one worker without being a run any more; each takes a place until it is over.

    Args:
        on_end: Called when one of them is over.
    """

    def __init__(self, on_end: Callable[[], None] | None = None) -> None:
        self._on_end = on_end
        self._going_on: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._going_on)

    async def until_cancelled(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something that cannot be stopped; it is a stray when the caller is cancelled before it is over."""
        task = asyncio.create_task(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.add(task)
            raise

    def add(self, task: asyncio.Task[Any]) -> None:
        """Keep account of this one until it is over. What comes out of it is dropped."""
        self._going_on.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._going_on.discard(task)
        if not task.cancelled() and task.exception() is None and inspect.iscoroutine(result := task.result()):
            result.close()
        if self._on_end is not None:
            self._on_end()
