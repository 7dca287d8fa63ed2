"""Hears what happens to sagas elsewhere, through one subscription a process, however many wait.

Whoever waits is woken when its saga changes its state, and each time the subscription is made anew; it looks now and
then by itself, too, so a lost message costs time and nothing else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from midas.redis import Subscription, end

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

    from midas.redis import Availability

_ABORT: Final = "abort"
_DUE: Final = "due"
"""Stand before the id of a saga that shall be undone, or that needs an owner; else a message is the id of one that
changed its state."""


class News:
    """The sagas that this process waits for or runs.

    Args:
        client: Where to subscribe.
        channel: What to listen to.
        availability: Is told when Redis is away.
        abort: Is called with the id of a saga that shall be undone.

    Attributes:
        due: Is set when some saga needs an owner.
    """

    def __init__(
        self, client: Redis, channel: str, availability: Availability, abort: Callable[[str], None]
    ) -> None:
        self.due = asyncio.Event()
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._abort = abort
        self._subscription = Subscription(client, channel, availability, hear=self._hear, stands=self.wake)

    def start(self) -> None:
        """Listen from now on."""
        self._subscription.start()

    async def aclose(self) -> None:
        """Listen no more."""
        await self._subscription.aclose()

    def watch(self, saga_id: str) -> asyncio.Event:
        """Give an event that is set when it is worth looking at the saga again; ``forget`` it at the end."""
        woken = asyncio.Event()
        self._waiters.setdefault(saga_id, set()).add(woken)
        return woken

    def forget(self, saga_id: str, woken: asyncio.Event) -> None:
        """Do not set this event any more."""
        waiters = self._waiters[saga_id]
        waiters.discard(woken)
        if not waiters:
            del self._waiters[saga_id]

    def wake(self) -> None:
        """Have everybody look again."""
        self.due.set()
        for waiters in self._waiters.values():
            for woken in waiters:
                woken.set()

    def _hear(self, message: str) -> None:
        what, _, saga_id = message.rpartition(" ")
        if what == _ABORT:
            self._abort(saga_id)
        elif what == _DUE:
            self.due.set()
        for woken in self._waiters.get(saga_id, ()):
            woken.set()


async def wait_at_most(seconds: float, *events: asyncio.Event) -> None:
    """Wait until one of some events is set or the time is over."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(*waiting)
