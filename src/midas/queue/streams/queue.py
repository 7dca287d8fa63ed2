"""A queue of tasks on Redis Streams: what is added is done at least once and ends exactly once, whoever dies.

A task is in a stream, in the delayed set, parked, in flight with a reader, in the dead letters, or done; every move
between these is one script on the Redis server. A delivery is an entry of a stream, and an entry is never given to a
second reader: a task that comes back gets a new entry. So whoever can still acknowledge an entry owns the task, and the
end that somebody else wants to give it is refused.

What Redis keeps, the queue keeps. It keeps what its settings say: with ``appendonly yes`` and ``appendfsync always``
everything that was answered; with ``everysec`` a crash of the machine may take the last second along, a crash of the
process nothing; a failover takes along what the replica had not received. ``Durability`` makes ``add_task`` wait for
disk or replicas (``WAITAOF``, ``WAIT``), which closes the first gap and narrows the second: Redis does not promise that
the replica which was waited for is the one that becomes master.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, cast

from botmetry import LogSettings, QueueState, Telemetry
from midas.queue.completions import Completions
from midas.queue.streams.adding import ANSWER_SECONDS, Adding
from midas.queue.streams.awaiting import Awaiting
from midas.queue.streams.calls import Calls
from midas.queue.streams.config import TaskQueueConfig
from midas.queue.streams.connections import Connections
from midas.queue.streams.consuming import Consumer, Consuming
from midas.queue.streams.dead_letters import DeadLetters
from midas.queue.streams.keys import StreamKeys
from midas.queue.streams.recovery import recover
from midas.queue.streams.statistics import Statistics, statistics_of
from midas.redis import SOCKET_SECONDS, Availability, Sender, check_server, connect

if TYPE_CHECKING:
    from types import TracebackType

    from midas.queue.streams.calls import Clock
    from midas.redis import Call

_WORKER_SECONDS: Final = 2 * SOCKET_SECONDS


class TaskQueue(Adding, Awaiting, Consuming, DeadLetters):
    """One queue, as those see it who add tasks, wait for them and look after them; ``Worker`` runs them.

    Use it as an async context manager.

    Args:
        config: Which queue, and how it behaves: ``TaskQueueConfig(redis_url)`` will do.
        telemetry: Where tasks are counted and logged; None for nowhere.
        clock: For tests: the time in seconds since 1970. None takes the Redis server's, which all processes share.
        max_connections: Connections to Redis at most: 3 or more, and 5 or more where tasks are taken, too.
        availability: Another client's of the same Redis, so that an outage is reported once; None for an own one.

    Raises:
        ValueError: The address is none, or there are too few connections.
    """

    def __init__(
        self,
        config: TaskQueueConfig | None = None,
        telemetry: Telemetry | None = None,
        *,
        clock: Clock | None = None,
        max_connections: int = 64,
        availability: Availability | None = None,
    ) -> None:
        super().__init__()
        self.config = config or TaskQueueConfig()
        self.telemetry = telemetry or Telemetry(service="queue", log=LogSettings(output="none"))
        self.keys = StreamKeys(self.config.name)
        self.calls = Calls(self.keys, self.config, clock)
        self.connections = Connections(max_connections)
        self.redis = connect(self.config.redis_url, max_connections=max_connections)
        self.availability = availability or Availability(self.redis, self.telemetry)
        self.refusals = 0
        """Settlements of this process that came too late: somebody else had the task by then."""
        self._clock = clock
        self._consumers: set[Consumer] = set()
        self._sender = Sender(self.redis, self.availability)
        self._completions = Completions(self.redis, self.keys.ended, self.availability)

    @property
    def name(self) -> str:
        """The queue's name, a label of its metrics."""
        return self.config.name

    async def __aenter__(self) -> Self:
        """Look at the server.

        Raises:
            QueueUnavailable: It does not answer.
            UnsafeServer: It would lose tasks.
        """
        try:
            needs_waitaof = self.config.durability.local_disk
            await check_server(
                self.redis, self.availability, "tasks", needs_waitaof=needs_waitaof, within=SOCKET_SECONDS
            )
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of Redis. Nothing happens to the tasks, but that those which are out by ``consume_tasks`` go back."""
        for consumer in list(self._consumers):
            await consumer.aclose()
        await self._additions.drain()
        await self._completions.aclose()
        await self.redis.aclose()

    # Looking after -----------------------------------------------------------------------------------------

    async def statistics(self) -> Statistics:
        """Say how much is where, and what was done how often since the queue was made.

        Raises:
            QueueUnavailable: Redis did not answer within a second.
        """
        return statistics_of(await self.ask(self.calls.measure()))

    async def state(self) -> QueueState:
        """Measure the queue where it is, in Redis: made for ``telemetry.queue.watch``.

        Raises:
            QueueUnavailable: Redis did not answer within a second.
        """
        return (await self.statistics()).state()

    async def recover(self) -> int:
        """Give the tasks of dead workers back, and give their number. Workers do it; it may be done by hand.

        Raises:
            QueueUnavailable: Redis did not answer within ten seconds.
        """
        return await recover(self)

    async def cancelled_ids(self) -> list[str]:
        """The ids of running tasks that shall stop."""
        members = partial(self.redis.zrange, self.keys.cancelled_ids, 0, -1)
        found = await self.availability.ask("", cast("Any", members), within=_WORKER_SECONDS)
        return [task_id.decode() for task_id in cast("list[bytes]", found)]

    # For workers -------------------------------------------------------------------------------------------

    async def ask(self, call: Call) -> Any:
        """Send a call for which a person may be waiting."""
        return await self._sender.send(call, within=ANSWER_SECONDS)

    async def send(self, call: Call) -> Any:
        """Send a worker's call."""
        return await self._sender.send(call, within=_WORKER_SECONDS)

    async def send_when_woken(self, call: Call, seconds: float) -> Any:
        """Send a worker's call once there may be something to take, or after so many seconds, in the same trip."""
        woken_by = ("BZPOPMIN", self.keys.marker, seconds)
        return await self._sender.send_when(woken_by, call, within=seconds + SOCKET_SECONDS)

    async def wake(self) -> None:
        """Wake one worker that waits; it finds nothing if there is nothing."""
        await self.send(self.calls.wake())

    def milliseconds_of(self, entry: str) -> int:
        """When an entry was made, ms since 1970 by the queue's clock."""
        if self._clock is not None:
            return round(self._clock() * 1000)
        return int(entry.partition("-")[0])

    def note_dead(self, task_id: str, task_type: str, reason: str) -> None:
        """Count and log a task that was given up."""
        self.telemetry.queue.dead_lettered(self.name)
        self.telemetry.log.error(
            "queue.task_dead_lettered", queue=self.name, task_id=task_id, task_type=task_type, reason=reason
        )

    def note_discarded(self, number: int) -> None:
        """Log that the oldest dead letters had to go; the queue's statistics count them."""
        if number:
            self.telemetry.log.warning(
                "queue.dead_letters_discarded",
                queue=self.name,
                discarded=number,
                max_dead=self.config.max_dead,
            )
