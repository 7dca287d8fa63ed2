"""Renews leases from a thread of its own, so that a blocked event loop does not lose what it holds.

A lease says "this process lives". The event loop may be blocked for seconds by a handler that computes; the thread,
with a Redis connection of its own, goes on. When a process dies, its leases lapse, and others take over.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from types import TracebackType

    import redis

    from midas.redis.connection import Availability
    from midas.redis.scripts import Call

T = TypeVar("T")

_RENEWALS_PER_LEASE: Final = 3
"""Two may fail before the lease lapses."""
_LONGEST_PAUSE_SECONDS: Final = 1.0
"""How often it tries again while Redis is away: back within a second, it renews before anybody takes over."""
_AT_A_TIME: Final = 200
"""Leases that one call renews: it holds up the server for a fraction of a millisecond."""


class LeaseThread(ABC, Generic[T]):
    """Keeps leases; a subclass says of what, and how. Use it as a context manager, or ``start`` and ``close`` it.

    Args:
        name: The thread's.
        client: A Redis client that nobody else uses, with ``decode_responses`` off. It is closed in the end.
        availability: Is told whether Redis answers.
    """

    def __init__(self, name: str, client: redis.Redis, availability: Availability) -> None:
        self._client = client
        self._availability = availability
        self._leases: dict[Hashable, _Lease[T]] = {}
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread. What it held lapses, unless it was given back."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()
        self._client.close()

    @abstractmethod
    def _renewal(self, held: Sequence[T], /) -> Call | None:
        """Give the call that renews the leases of these; None to let them lapse. Called in the thread."""

    @abstractmethod
    def _heard(self, held: Sequence[T], reply: Any, /) -> None:
        """Take note of what Redis said about these. Called in the thread; must not block."""

    def _keep(self, key: Hashable, held: T, lease_seconds: float) -> None:
        period = lease_seconds / _RENEWALS_PER_LEASE
        with self._changed:
            self._leases[key] = _Lease(held, period, time.monotonic() + period)
            self._changed.notify()

    def _keeps(self, key: Hashable) -> bool:
        with self._changed:
            return key in self._leases

    def _let_go(self, key: Hashable) -> bool:
        """Renew it no more; say whether it was kept until now."""
        with self._changed:
            return self._leases.pop(key, None) is not None

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._ended and (pause := self._pause()) != 0.0:
                    self._changed.wait(pause)
                if self._ended:
                    return
                due = self._first_due()
            longest = math.inf if self._renew([lease.held for lease in due]) else _LONGEST_PAUSE_SECONDS
            for lease in due:
                lease.due = time.monotonic() + min(longest, lease.period)

    def _pause(self) -> float | None:
        """Seconds until the first lease is to be renewed; None, until something is kept, when nothing is."""
        if not self._leases:
            return None
        return max(0.0, min(lease.due for lease in self._leases.values()) - time.monotonic())

    def _first_due(self) -> Sequence[_Lease[T]]:
        """Give the leases that the next call renews; those that are due within a moment go along."""
        now = time.monotonic()
        due = (lease for lease in self._leases.values() if lease.due <= now + lease.period / 2)
        return sorted(due, key=lambda lease: lease.due)[:_AT_A_TIME]

    def _renew(self, held: Sequence[T]) -> bool:
        """Renew these, and say whether Redis was there."""
        call = self._renewal(held)
        if call is None:
            return True
        renew = self._client.register_script(call.script.text)
        try:
            reply = renew(keys=call.keys, args=call.arguments)
        except (RedisError, OSError) as error:
            self._availability.missed(error)
            return False
        self._availability.answered()
        self._heard(held, reply)
        return True


@dataclass(slots=True)
class _Lease(Generic[T]):
    """What is held, the seconds between two renewals, and the next one's moment on ``time.monotonic()``'s scale."""

    held: T
    period: float
    due: float
