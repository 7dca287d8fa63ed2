"""Work that several requests ask for at the same time is done once, and all of them get its result.

Two Prometheus replicas scrape the same target in the same second; rendering twice would only make
both wait longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["SharedWork"]

_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")


class SharedWork(Generic[_K, _T]):
    """Runs at most one piece of work a key at a time.

    The work belongs to nobody in particular: a request that is cancelled leaves it running for
    the others.
    """

    def __init__(self) -> None:
        self._running: dict[_K, asyncio.Task[_T]] = {}

    async def run(self, key: _K, work: Callable[[], Awaitable[_T]]) -> _T:
        """Return the result of `work`, or of the work under the same `key` that is under way.

        Raises:
            Exception: Whatever the work raised, for everybody who waited for it.
        """
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(_run(work))
            self._running[key] = task
            task.add_done_callback(lambda done: self._finish(key, done))
        return await asyncio.shield(task)

    async def aclose(self, seconds: float) -> bool:
        """Wait for what is under way, cancel what has not ended after `seconds`; return whether all had ended."""
        running = set(self._running.values())
        if not running:
            return True
        _, late = await asyncio.wait(running, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return not late

    def _finish(self, key: _K, task: asyncio.Task[_T]) -> None:
        del self._running[key]
        if not task.cancelled():
            # Looking at the error marks it as seen: when every request was cancelled nobody else will.
            task.exception()


async def _run(work: Callable[[], Awaitable[_T]]) -> _T:
    return await work()
