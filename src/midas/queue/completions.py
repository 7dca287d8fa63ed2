"""Wakes whoever waits for a task's end, through one subscription a process, however many wait.

A waiter first is listed here, which includes that the subscription stands, and only then looks whether the task has
ended; and each time the subscription is made anew, all waiters are woken to look again.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from midas.redis import Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from midas.redis import Availability


class Completions:
    """The waiters of one queue in this process.

    Args:
        client: Where to subscribe.
        channel: On which the ids of finished tasks are said.
        availability: Is told when Redis is away.
    """

    def __init__(self, client: Redis, channel: str, availability: Availability) -> None:
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._subscription = Subscription(
            client, channel, availability, hear=self._wake, stands=self._wake_all
        )

    @asynccontextmanager
    async def watching(self, task_id: str, *, at_most: float) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set whenever it is worth looking at the task again.

        Args:
            task_id: Whose end is waited for.
            at_most: Seconds to wait for the subscription. Without one the event still comes, as soon as there is one.
        """
        woken = asyncio.Event()
        self._waiters.setdefault(task_id, set()).add(woken)
        try:
            self._subscription.start()
            with suppress(TimeoutError):
                async with asyncio.timeout(at_most):
                    await self._subscription.subscribed.wait()
            yield woken
        finally:
            waiters = self._waiters[task_id]
            waiters.discard(woken)
            if not waiters:
                del self._waiters[task_id]

    async def aclose(self) -> None:
        """End the subscription. Whoever still waits, waits for his timeout."""
        await self._subscription.aclose()

    def _wake(self, task_id: str) -> None:
        for woken in self._waiters.get(task_id, ()):
            woken.set()

    def _wake_all(self) -> None:
        for task_id in self._waiters:
            self._wake(task_id)
