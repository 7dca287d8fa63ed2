"""Every move of a task, as the call of a script.

The queue sends them from the event loop and the lease keeper from its thread; what they send is written once, here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from midas.redis.scripts import Argument, Call, Script

if TYPE_CHECKING:
    from midas.queue.keys import QueueKeys

Clock: TypeAlias = Callable[[], float]

REMEMBER_SECONDS: Final = 86_400.0
"""After its result is gone, a task is known to have existed for a day: "expired" and "never existed" differ."""
REMEMBER_MOST: Final = 100_000
"""At most so many of them, about 10 MB; past that the oldest are forgotten earlier."""
DEAD_MOST: Final = 1_000
"""Dead tasks kept for somebody to look at."""


class Moves:
    """Builds the moves of one queue.

    Args:
        keys: The queue's keys.
        result_ttl: Seconds that a result is kept.
        most_deliveries: A task that was delivered so often and came back every time is given up.
        clock: What time it is, in seconds since 1970. None, the normal case, takes the clock of the Redis server,
            the one that all processes share; tests give their own.
    """

    def __init__(
        self, keys: QueueKeys, *, result_ttl: float, most_deliveries: int, clock: Clock | None
    ) -> None:
        self._keys = keys.places
        self._most_deliveries = most_deliveries
        self._clock = clock
        self._settings = json.dumps(
            {
                "channel": keys.channel,
                "result_ttl": round(result_ttl * 1000),
                "remember": round(REMEMBER_SECONDS * 1000),
                "remember_limit": REMEMBER_MOST,
                "dead_limit": DEAD_MOST,
            }
        )

    def enqueue(  # noqa: PLR0917 -- they stand in the order in which the script takes them
        self, task_id: str, task_type: str, priority: int, timeout_ms: int, max_wait_ms: int, body: bytes
    ) -> Call:
        """A new task gets in line."""
        return self._move("enqueue", task_id, task_type, priority, timeout_ms, max_wait_ms, body)

    def take(self, token: str, worker_id: str, lease_ms: int) -> Call:
        """The first in line is given to a worker."""
        return self._move("take", token, worker_id, lease_ms)

    def finish(self, task_id: str, token: str, state: str, outcome: bytes) -> Call:
        """The owner says how it ended."""
        return self._move("finish", task_id, token, state, outcome)

    def extend(self, owned: Iterable[tuple[str, str]]) -> Call:
        """The owner of these (id, token) lives and goes on."""
        return self._move("extend", *(text for pair in owned for text in pair))

    def give_back(self, task_id: str, token: str, *, counted: bool, reason: str) -> Call:
        """The owner cannot go on; somebody else shall, now."""
        return self._move("give_back", task_id, token, int(counted), self._most_deliveries, reason)

    def bury(self, task_id: str, token: str, reason: str) -> Call:
        """The owner cannot make sense of it, and nobody else will."""
        return self._move("bury", task_id, token, reason)

    def recover(self, limit: int) -> Call:
        """Tasks of dead workers get back in line, and what is overdue times out."""
        return self._move("recover", limit, self._most_deliveries)

    def look(self, task_id: str) -> Call:
        """Where is it?"""
        return self._move("look", task_id)

    def clear(self, limit: int) -> Call:
        """Whoever is first in line is sent away."""
        return self._move("clear", limit)

    def measure(self) -> Call:
        """How much is where?"""
        return self._move("measure")

    def list_dead(self, limit: int) -> Call:
        """What was given up?"""
        return self._move("list_dead", limit)

    def purge_dead(self, limit: int) -> Call:
        """What was given up is thrown away."""
        return self._move("purge_dead", limit)

    def _move(self, script: str, *arguments: Argument) -> Call:
        now = "" if self._clock is None else str(round(self._clock() * 1000))
        return Call(Script("midas.queue", script), self._keys, (now, self._settings, *arguments))
