"""Wakes whoever waits for a task's end, through one pub/sub subscription a process, however many wait.

Pub/sub forgets: what is said while nobody is subscribed is lost. So a waiter first is listed here, which includes
that the subscription stands, and only then looks whether the task has ended; and each time the subscription is made
anew, all waiters are woken to look again.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from midas.redis.cancellation import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

    from midas.redis.connection import Availability

_SILENCE_SECONDS: Final = 10.0
"""After so much silence the server is asked for a sign of life, and given as long again: a connection may be dead
without anybody having closed it."""


class Completions:
    """The waiters of one queue in this process.

    Args:
        client: Where to subscribe.
        channel: On which the ids of finished tasks are said.
        availability: Is told when Redis is away.
    """

    def __init__(self, client: Redis, channel: str, availability: Availability) -> None:
        self._client = client
        self._channel = channel
        self._availability = availability
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._subscribed = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None

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
            if self._listener is None or self._listener.done():
                self._listener = asyncio.create_task(self._listen(), name=f"completions of {self._channel}")
            with suppress(TimeoutError):
                async with asyncio.timeout(at_most):
                    await self._subscribed.wait()
            yield woken
        finally:
            waiters = self._waiters[task_id]
            waiters.discard(woken)
            if not waiters:
                del self._waiters[task_id]

    async def aclose(self) -> None:
        """End the subscription. Whoever still waits, waits for his timeout."""
        if self._listener is not None:
            await end(self._listener)
            self._listener = None

    async def _listen(self) -> None:
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=False) as subscription:
                    await subscription.subscribe(self._channel)
                    await self._hear(subscription)
            except (RedisError, OSError) as error:
                self._availability.missed(error)
            finally:
                self._subscribed.clear()
            await self._availability.pause(at_most=1.0)

    async def _hear(self, subscription: PubSub) -> None:
        asked_for_a_sign = False
        while True:
            message = await subscription.get_message(timeout=_SILENCE_SECONDS)
            if message is None:
                if asked_for_a_sign:
                    raise TimeoutError("the subscription is silent")
                await subscription.ping()
                asked_for_a_sign = True
                continue
            asked_for_a_sign = False
            if message["type"] == "message":
                self._wake(message["data"].decode())
            elif message["type"] == "subscribe":
                self._availability.answered()
                self._subscribed.set()
                for task_id in self._waiters:
                    self._wake(task_id)

    def _wake(self, task_id: str) -> None:
        for woken in self._waiters.get(task_id, ()):
            woken.set()
