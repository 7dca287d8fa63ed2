"""What all sides of a queue share: its name, its moves, the way to Redis, and the counting of what ends there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botmetry import LogSettings, Telemetry
from midas.queue.keys import QueueKeys
from midas.queue.moves import Clock, Moves
from midas.queue.replies import pairs
from midas.queue.tasks import milliseconds
from midas.redis.connection import SOCKET_SECONDS, Availability
from midas.redis.sender import Sender

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from midas.redis.scripts import Call

AT_A_TIME: Final = 100
"""Tasks that one call of a script touches: it holds up the server for about a millisecond."""
_ANSWER_SECONDS: Final = 1.0
"""Callers with a person waiting learn after a second that Redis is away."""
_WORKER_SECONDS: Final = 2 * SOCKET_SECONDS
"""Workers have time, and a move given up in the middle is a task that waits for its lease to lapse."""


class QueueSide:
    """One queue as each of its sides sees it.

    Args:
        redis: The client, with ``decode_responses`` off. The queue does not close it.
        name: The queue's name: a lower-case letter, then lower-case letters, digits, ``_`` and ``-``.
        telemetry: Where tasks are counted and logged; None for nowhere.
        default_timeout: Seconds that a task may take unless it says otherwise.
        lease_seconds: Seconds without a sign of life after which a worker counts as dead; for a task that may take less
            than twice as long, half of its own time.
        clock: For tests: the time in seconds since 1970. None takes the Redis server's, which all processes share.
        result_ttl: Seconds that results are kept.
        max_deliveries: A task that so many workers took and did not end is dead.

    Raises:
        ValueError: The name or the client cannot be used.
        InvalidTask: One of the durations is impossible.
    """

    def __init__(
        self,
        redis: Redis,
        name: str = "ai",
        telemetry: Telemetry | None = None,
        *,
        default_timeout: float = 30.0,
        lease_seconds: float = 15.0,
        clock: Clock | None = None,
        result_ttl: float = 3_600.0,
        max_deliveries: int = 5,
    ) -> None:
        if redis.connection_pool.connection_kwargs.get("decode_responses"):
            raise ValueError("tasks are bytes: the queue's Redis client must not have decode_responses=True")
        self._redis = redis
        self._telemetry = telemetry or Telemetry(service="queue", log=LogSettings(output="none"))
        self._keys = QueueKeys(name)
        self._moves = Moves(self._keys, result_ttl=result_ttl, most_deliveries=max_deliveries, clock=clock)
        milliseconds(default_timeout, "a timeout")
        self._default_timeout = default_timeout
        self._lease_ms = milliseconds(lease_seconds, "a lease")
        self._availability = Availability(redis, self._telemetry)
        self._sender = Sender(redis, self._availability)

    @property
    def name(self) -> str:
        """The queue's name, a label of its metrics."""
        return self._keys.name

    @property
    def keys(self) -> QueueKeys:
        """The Redis keys, for whatever has to live beside the queue."""
        return self._keys

    @property
    def moves(self) -> Moves:
        """What may happen to tasks, for the lease keeper."""
        return self._moves

    @property
    def availability(self) -> Availability:
        """Whether Redis answers."""
        return self._availability

    async def _ask(self, move: Call) -> Any:
        """Send a move for which a person may be waiting."""
        return await self._sender.send(move, within=_ANSWER_SECONDS)

    async def _work(self, move: Call) -> Any:
        """Send a worker's move."""
        return await self._sender.send(move, within=_WORKER_SECONDS)

    def _count_expired(self, waiting: list[bytes]) -> None:
        """Tasks that nobody ran have an outcome all the same, and it is counted by whoever found them."""
        for task_id, task_type in pairs(waiting):
            with (
                self._telemetry.context(task_id=task_id),
                self._telemetry.queue.task(self._keys.name, task_type) as operation,
            ):
                operation.outcome = "timeout"
                operation.set(reason="waited too long")

    def _note_dead(self, task_id: str, task_type: str, reason: str) -> None:
        self._telemetry.queue.dead_lettered(self._keys.name)
        self._telemetry.log.error(
            "queue.task_dead_lettered",
            queue=self._keys.name,
            task_id=task_id,
            task_type=task_type,
            reason=reason,
        )
