"""Renews the leases of the sagas of one process, from a thread of its own, so that a blocked event loop keeps them.

The thread has a Redis connection of its own. With each renewal it learns which sagas are somebody else's by now, and
which somebody wants to be undone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

if TYPE_CHECKING:
    import redis
    from redis.commands.core import Script

    from midas.redis import Availability
    from midas.saga.calls import Calls, Held

_RENEWALS_PER_LEASE: Final = 3
"""Two may fail before the lease lapses."""
_LONGEST_PAUSE_SECONDS: Final = 1.0
"""How often it tries again while Redis is away."""
_AT_A_TIME: Final = 200
"""Sagas that one call renews: it holds up the server for a fraction of a millisecond."""


class SagaKeeper:
    """Keeps the leases of the sagas it is told to hold; ``start`` and ``close`` it.

    Args:
        client: A Redis client that nobody else uses. The keeper closes it.
        calls: Builds the renewal.
        availability: Is told whether Redis answers.
        lease_seconds: How long a lease lasts.
        on_news: Called in the keeper's thread with a saga and whether it is lost (else it is to be aborted); must not
            block.
    """

    def __init__(
        self,
        client: redis.Redis,
        calls: Calls,
        availability: Availability,
        lease_seconds: float,
        on_news: Callable[[Held, bool], None],
    ) -> None:
        self._client = client
        self._calls = calls
        self._availability = availability
        self._period = lease_seconds / _RENEWALS_PER_LEASE
        self._on_news = on_news
        self._renew_script: Script | None = None
        self._held: dict[Held, float] = {}
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="saga keeper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread. What it held lapses, unless it was left."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()
        self._client.close()

    def hold(self, held: Held) -> None:
        """Renew this lease from now on."""
        with self._changed:
            self._held[held] = time.monotonic() + self._period
            self._changed.notify()

    def drop(self, held: Held) -> None:
        """Renew it no more; nothing happens if it is not held."""
        with self._changed:
            self._held.pop(held, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._ended and (pause := self._pause()) != 0.0:
                    self._changed.wait(pause)
                if self._ended:
                    return
                # Those that are due within a moment go along: one call renews many.
                soon = time.monotonic() + self._period / 2
                held = [saga for saga, due in self._held.items() if due <= soon][:_AT_A_TIME]
            self._renew(held)

    def _pause(self) -> float | None:
        """Seconds until the first lease is to be renewed; None, until something is held, when nothing is."""
        if not self._held:
            return None
        return max(0.0, min(self._held.values()) - time.monotonic())

    def _renew(self, held: list[Held]) -> None:
        call = self._calls.renew(held)
        renew = self._renew_script = self._renew_script or self._client.register_script(call.script.text)
        try:
            lost, aborts = renew(keys=call.keys, args=call.arguments)
        except (RedisError, OSError) as error:
            self._availability.missed(error)
            self._schedule(held, min(self._period, _LONGEST_PAUSE_SECONDS))
            return
        self._availability.answered()
        self._schedule(held, self._period)
        for place in lost:
            self._tell(held[place], lost=True)
        for place in aborts:
            self._tell(held[place], lost=False)

    def _schedule(self, held: list[Held], pause: float) -> None:
        due = time.monotonic() + pause
        with self._changed:
            for saga in held:
                if saga in self._held:
                    self._held[saga] = due

    def _tell(self, saga: Held, *, lost: bool) -> None:
        with self._changed:
            known = saga in self._held if not lost else self._held.pop(saga, None) is not None
        if known:  # else it ended while the renewal was under way
            self._on_news(saga, lost)
