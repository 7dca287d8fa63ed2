"""Renews the leases of running tasks from a thread of its own, so that a blocked event loop does not lose them.

A lease says "this worker lives". The event loop may be blocked for seconds by a handler that computes; the thread, with
a Redis connection of its own, goes on. It stops at the end of a task's time by itself: the server refuses.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import redis
    from redis.commands.core import Script

    from midas.queue.moves import Moves
    from midas.queue.tasks import Task
    from midas.redis.connection import Availability

_RENEWALS_PER_LEASE: Final = 3
"""Two may fail before the lease lapses."""
_LONGEST_PAUSE_SECONDS: Final = 1.0
"""How often it tries again while Redis is away: back within a second, it renews before anybody takes the tasks away."""


class LeaseKeeper:
    """Keeps the leases of the tasks it is told to hold. Use it as a context manager.

    Args:
        client: A Redis client that nobody else uses, with ``decode_responses`` off. The keeper closes it.
        moves: The queue's moves.
        availability: Is told whether Redis answers.
        on_lost: Called in the keeper's thread with a task that is not ours any more; must not block.
    """

    def __init__(
        self, client: redis.Redis, moves: Moves, availability: Availability, on_lost: Callable[[Task], None]
    ) -> None:
        self._client = client
        self._moves = moves
        self._availability = availability
        self._on_lost = on_lost
        self._extend: Script | None = None
        self._held: dict[str, _Holding] = {}
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="lease keeper", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the thread. What it held lapses, unless it was given back."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()
        self._client.close()

    def hold(self, task: Task) -> None:
        """Renew this task's lease from now on."""
        with self._changed:
            self._held[task.token] = _Holding(
                task, time.monotonic() + task.lease_seconds / _RENEWALS_PER_LEASE
            )
            self._changed.notify()

    def drop(self, task: Task) -> None:
        """Renew it no more; nothing happens if it is not held."""
        with self._changed:
            self._held.pop(task.token, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._ended and (pause := self._pause()) != 0.0:
                    self._changed.wait(pause)
                if self._ended:
                    return
                held = list(self._held.values())
            self._renew(held)

    def _pause(self) -> float | None:
        """Seconds until the first lease is to be renewed; None, until something is held, when nothing is."""
        if not self._held:
            return None
        return max(0.0, min(holding.due for holding in self._held.values()) - time.monotonic())

    def _renew(self, held: list[_Holding]) -> None:
        call = self._moves.extend([(holding.task.id, holding.task.token) for holding in held])
        extend = self._extend = self._extend or self._client.register_script(call.script.text)
        try:
            lost = {task_id.decode() for task_id in extend(keys=call.keys, args=call.arguments)}
        except (RedisError, OSError) as error:
            self._availability.missed(error)
            self._schedule(held, longest_pause=_LONGEST_PAUSE_SECONDS)
            return
        self._availability.answered()
        self._schedule(held)
        for holding in held:
            if holding.task.id in lost:
                self._lose(holding.task)

    def _schedule(self, held: list[_Holding], longest_pause: float = math.inf) -> None:
        now = time.monotonic()
        for holding in held:
            holding.due = now + min(longest_pause, holding.task.lease_seconds / _RENEWALS_PER_LEASE)

    def _lose(self, task: Task) -> None:
        with self._changed:
            if self._held.pop(task.token, None) is None:
                return  # it ended while the renewal was under way
        self._on_lost(task)


@dataclass(slots=True)
class _Holding:
    """A task and the moment, on ``time.monotonic()``'s scale, when its lease is to be renewed."""

    task: Task
    due: float
