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
from midas.queue.errors import QueueFull
from midas.queue.streams.additions import addition_of
from midas.queue.streams.awaiting import Awaiting
from midas.queue.streams.calls import Calls
from midas.queue.streams.config import TaskPriority, TaskQueueConfig
from midas.queue.streams.consuming import Consumer, Consuming
from midas.queue.streams.dead_letters import DeadLetters
from midas.queue.streams.group_commit import GroupCommit
from midas.queue.streams.keys import StreamKeys
from midas.queue.streams.recovery import recover
from midas.queue.streams.statistics import Statistics, statistics_of
from midas.queue.streams.task import NewTask
from midas.redis import SOCKET_SECONDS, Availability, NotDurable, Sender, check_server, connect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from types import TracebackType

    from midas.queue.streams.calls import Addition, Clock
    from midas.redis import Call

_MOST_IN_A_CALL: Final = 500
"""Tasks that one script call adds: it holds up the server for a millisecond or two."""
_ANSWER_SECONDS: Final = 1.0
"""Callers with a person waiting learn after a second that Redis is away."""
_WORKER_SECONDS: Final = 2 * SOCKET_SECONDS


class TaskQueue(Awaiting, Consuming, DeadLetters):
    """One queue, as those see it who add tasks, wait for them and look after them; ``Worker`` runs them.

    Use it as an async context manager.

    Args:
        config: Which queue, and how it behaves; a Redis address will do for the rest of the defaults.
        telemetry: Where tasks are counted and logged; None for nowhere.
        clock: For tests: the time in seconds since 1970. None takes the Redis server's, which all processes share.
        max_connections: Connections to Redis at most.
        availability: Another client's of the same Redis, so that an outage is reported once; None for an own one.

    Raises:
        ValueError: The address is none.
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
        self.config = config or TaskQueueConfig()
        self.telemetry = telemetry or Telemetry(service="queue", log=LogSettings(output="none"))
        self.keys = StreamKeys(self.config.name)
        self.calls = Calls(self.keys, self.config, clock)
        self.redis = connect(self.config.redis_url, max_connections=max_connections)
        self.availability = availability or Availability(self.redis, self.telemetry)
        self.refusals = 0
        """Settlements of this process that came too late: somebody else had the task by then."""
        self._clock = clock
        self._consumers: set[Consumer] = set()
        self._sender = Sender(self.redis, self.availability)
        self._additions: GroupCommit[Addition, str] = GroupCommit(self._send_additions, _MOST_IN_A_CALL)
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

    # Adding ------------------------------------------------------------------------------------------------

    async def add_task(
        self,
        task_type: str,
        payload: dict[str, Any] | None = None,
        priority: int = TaskPriority.NORMAL,
        *,
        delay: float = 0.0,
        at: datetime | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 -- the task's, not this call's
        expires: float | None = None,
        unique_key: str | None = None,
        task_id: str | None = None,
        max_retries: int | None = None,
    ) -> str:
        """Add a task and give its id. The caller's trace and log context travel with it.

        What is added at the same time, by many callers, goes to Redis in one call. ``NewTask`` says what the arguments
        are. With a ``unique_key`` that a live task has, or a ``task_id`` that is known, nothing is added, and the id
        is that of the task which is there.

        Raises:
            InvalidTask: The task is impossible; nothing was sent.
            QueueFull: As many tasks wait as may.
            NotDurable: It was added, and ``durability`` was not reached.
            QueueUnavailable: Redis did not answer within a second. The task may have been added nevertheless, so
                repeat with the same ``task_id``, or tell the user.
        """
        new = NewTask(
            task_type,
            payload or {},
            priority,
            delay,
            at,
            timeout,
            expires,
            unique_key,
            task_id,
            max_retries,
        )
        addition = addition_of(new, self.config, self.telemetry.carrier(), self._clock)
        there = await self._additions.send(addition)
        self._note_added([new], [addition], [there])
        return there or addition[1]

    async def add_tasks(self, tasks: Sequence[NewTask]) -> list[str]:
        """Add many tasks and give their ids, in their order. Each 500 of them are one call.

        Raises:
            InvalidTask: One of them is impossible; nothing was sent.
            QueueFull: As many tasks wait as may. What the calls before had added stays.
            NotDurable: See ``add_task``.
            QueueUnavailable: See ``add_task``.
        """
        carrier = self.telemetry.carrier()
        additions = [addition_of(new, self.config, carrier, self._clock) for new in tasks]
        ids: list[str] = []
        for start in range(0, len(additions), _MOST_IN_A_CALL):
            group = additions[start : start + _MOST_IN_A_CALL]
            replies = await self._send_additions(group)
            self._note_added(tasks[start : start + _MOST_IN_A_CALL], group, replies)
            ids += [there or addition[1] for addition, there in zip(group, replies, strict=True)]
        return ids

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
        return await self._sender.send(call, within=_ANSWER_SECONDS)

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

    # Within ------------------------------------------------------------------------------------------------

    async def _send_additions(self, group: Sequence[Addition]) -> Sequence[str]:
        call = self.calls.add(group)
        durability = self.config.durability
        if durability.is_wanted:
            reply, confirmed = await self._sender.send_and(
                call, durability.wait_command, within=_ANSWER_SECONDS + durability.timeout
            )
        else:
            reply, confirmed = await self.ask(call), ()
        if reply == b"full":
            raise QueueFull(self.name, self.config.max_waiting)
        if durability.is_wanted and not durability.is_reached(confirmed):
            raise NotDurable(
                f"{len(group)} tasks are in the queue {self.name!r}, but after {durability.timeout:g} s Redis had not "
                f"confirmed {durability}: {confirmed}"
            )
        return [there.decode() for there in reply]

    def _note_added(
        self, tasks: Sequence[NewTask], group: Sequence[Addition], replies: Sequence[str]
    ) -> None:
        counts: dict[str, int] = {}
        write = self.telemetry.log.debug
        for new, addition, there in zip(tasks, group, replies, strict=True):
            if not there:
                counts[new.task_type] = counts.get(new.task_type, 0) + 1
                write(
                    "queue.task_enqueued",
                    queue=self.name,
                    task_id=addition[1],
                    task_type=new.task_type,
                    priority=new.priority,
                )
        for task_type, number in counts.items():
            self.telemetry.queue.enqueued(self.name, task_type, number)
