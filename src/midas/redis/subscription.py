"""One pub/sub subscription that is made anew as often as it breaks.

Pub/sub forgets: what is said while nobody is subscribed is lost. So whoever listens is told each time the subscription
stands, and looks then whether it missed something.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from midas.redis.cancellation import end

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

    from midas.redis.connection import Availability

_SILENCE_SECONDS: Final = 10.0
"""After so much silence the server is asked for a sign of life, and given as long again: a connection may be dead
without anybody having closed it."""


class Subscription:
    """Listens to one channel, from ``start`` to ``aclose``.

    Args:
        client: Where to subscribe.
        channel: What to listen to.
        availability: Is told when Redis is away.
        hear: Is called with every message.
        stands: Is called whenever the subscription has been made.
    """

    def __init__(
        self,
        client: Redis,
        channel: str,
        availability: Availability,
        *,
        hear: Callable[[str], None],
        stands: Callable[[], None],
    ) -> None:
        self._client = client
        self._channel = channel
        self._availability = availability
        self._hear = hear
        self._stands = stands
        self._listener: asyncio.Task[None] | None = None
        self.subscribed = asyncio.Event()

    def start(self) -> None:
        """Listen from now on; nothing happens if it listens already."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen(), name=f"subscription to {self._channel}")

    async def aclose(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            await end(self._listener)
            self._listener = None

    async def _listen(self) -> None:
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=False) as subscription:
                    await subscription.subscribe(self._channel)
                    await self._receive(subscription)
            except (RedisError, OSError) as error:
                self._availability.missed(error)
            finally:
                self.subscribed.clear()
            await self._availability.pause(at_most=1.0)

    async def _receive(self, subscription: PubSub) -> None:
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
                self._hear(message["data"].decode())
            elif message["type"] == "subscribe":
                self._availability.answered()
                self.subscribed.set()
                self._stands()
