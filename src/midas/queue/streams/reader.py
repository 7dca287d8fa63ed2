"""One reader of a queue: takes tasks, holds them by a lease, and says what becomes of them.

A reader is a worker's identity in Redis. While it is open its lease is renewed, tasks of dead readers are given back,
what a lost reply left behind is found, and whoever runs a task that was cancelled or taken away is told.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, Self

from midas.errors import QueueUnavailable
from midas.queue.streams import settlements
from midas.queue.streams.closing import to_the_end
from midas.queue.streams.entries import Entries
from midas.queue.streams.failures import failed
from midas.queue.streams.lease import ReaderLease
from midas.queue.streams.settler import Settler
from midas.redis import LEASE_SECONDS, SOCKET_SECONDS, Duty, Subscription, connect_from_thread, end, perform

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from midas.queue.streams.queue import TaskQueue
    from midas.queue.streams.settlements import Settlement
    from midas.queue.streams.task import StreamTask

_FIELDS: Final = 4
_LONGEST_WAIT_SECONDS: Final = 1.0
"""A reader is woken by the next task; it looks by itself, too, in case another one died with the wake-up call."""
_SHORTEST_WAIT_SECONDS: Final = 0.002
"""Redis before 7 cuts a thousandth of a second down to 0, which means for ever."""
_LOST_REPLY_SECONDS: Final = 2 * SOCKET_SECONDS
"""What the server delivered so long ago and we never saw was in a reply that was lost."""
_LAST_WORDS_SECONDS: Final = 2.0
_MOST_UNSEEN: Final = 10_000
_OVERRUN_LEASES: Final = 1.0
"""A run that was told to stop has one lease for it. Then its task goes on without it."""
_HANGING_LEASES: Final = 1.5
"""And who has not even said so by then is a loop that is blocked, and nobody can speak for it."""
_LOOKS_PER_LEASE: Final = 8
_ASLEEP_LEASES: Final = 0.5
"""A loop that was blocked for so long has first to do what it could not do meanwhile: stop runs, take their results."""


class Reader:
    """Reads one queue. Use it as an async context manager.

    Args:
        queue: What to read.
        worker_id: Who reads, for people who look.
        on_taken_away: Called with a held task that is not ours any more.
        on_cancelled: Called with a held task that somebody does not want any more.
    """

    def __init__(
        self,
        queue: TaskQueue,
        worker_id: str,
        *,
        on_taken_away: Callable[[StreamTask], None],
        on_cancelled: Callable[[StreamTask], None],
    ) -> None:
        self._queue = queue
        self._calls = queue.calls
        # A process that starts again under the same name is another reader: what the first held is not its own.
        self.name = f"{worker_id}:{secrets.token_hex(4)}"
        self.held: dict[str, StreamTask] = {}
        self._on_taken_away = on_taken_away
        self._on_cancelled = on_cancelled
        self._settler = Settler(queue)
        self._entries = Entries(queue, worker_id, self._settler)
        self._stack = AsyncExitStack()
        self._next_due = -1.0
        self._is_taking = False
        self._heard_while_taking: set[str] = set()
        self.owes_a_slot = False
        """Whether something that came back waits for a free slot: until it has one, nothing should be held ahead."""

    async def __aenter__(self) -> Self:
        """Begin to renew the lease.

        Raises:
            ValueError: The queue has too few connections for another reader.
        """
        self._queue.connections.enter_reader()
        self._stack.callback(self._queue.connections.leave_reader)
        loop = asyncio.get_running_loop()

        def lapsed() -> None:
            with suppress(RuntimeError):  # the loop is closed: nothing runs any more
                loop.call_soon_threadsafe(self._compare_soon)

        queue = self._queue
        lease = ReaderLease(
            connect_from_thread(queue.config.redis_url),
            lambda: self._calls.renew(self.name),
            queue.config.lease_seconds,
            queue.availability,
            hangs=self._hangs,
            on_lapsed=lapsed,
        )
        self._stack.enter_context(lease)
        subscription = Subscription(
            queue.redis,
            queue.keys.cancellations,
            queue.availability,
            hear=self._hear_cancelled,
            stands=self._compare_soon,
        )
        subscription.start()
        self._stack.push_async_callback(subscription.aclose)
        period = queue.config.lease_seconds / 4
        sweep = Duty(
            "recover tasks", period, queue.keys.lease("recovery"), queue.recover, min(period, LEASE_SECONDS)
        )
        self._comparing = asyncio.Event()
        duties = [
            asyncio.create_task(perform(sweep, queue.redis, queue.availability, queue.telemetry)),
            asyncio.create_task(self._compare_regularly(queue.config.lease_seconds / 2)),
            asyncio.create_task(self._watch(queue.config.lease_seconds)),
        ]
        self._stack.push_async_callback(end, *duties)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give back what is still held, and leave."""
        await to_the_end(self._leave())

    async def _leave(self) -> None:
        for task in list(self.held.values()):
            self.settle(task, settlements.returned(task))
        with suppress(TimeoutError, QueueUnavailable):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._settler.flush()
                await self._queue.send(self._calls.leave(self.name))
        await self._settler.aclose()
        await self._stack.aclose()

    async def take(self, slots: int, more: int = 0, *, wait_seconds: float = 0.0) -> list[StreamTask]:
        """Take up to ``slots + more`` tasks; what cannot be read goes to the dead letters.

        Args:
            slots: Tasks that start at once.
            more: Tasks that are held until there is room. None of those that came back is among them.
            wait_seconds: At most so long, and at most a second, to wait until there may be something; 0 looks at once.

        Raises:
            QueueUnavailable: Redis did not answer. What it may have delivered is found later.
        """
        last_chance = self._queue.config.max_deliveries - 1
        takes_risk = any(0 < task.head.deliveries >= last_chance for task in self.held.values())
        call = self._calls.take(self.name, slots, more, takes_risk=takes_risk)
        waits = wait_seconds > 0
        sending = (
            self._queue.send_when_woken(call, self._longest(wait_seconds))
            if waits
            else self._queue.send(call)
        )
        taking = asyncio.ensure_future(sending)
        self._is_taking = True
        try:
            reply = await asyncio.shield(taking)
        except asyncio.CancelledError:
            # The reply may hold tasks: others shall have them at once, however often we are told to hurry.
            open_ = {taking} | ({asyncio.ensure_future(self._wake())} if waits else set())
            while open_:
                with suppress(asyncio.CancelledError):
                    _, open_ = await asyncio.wait(open_)
            with suppress(QueueUnavailable):
                for task in self._receive(taking.result()):
                    self.settle(task, settlements.returned(task))
            raise
        finally:
            self._is_taking = False
        return self._receive(reply)

    async def _wake(self) -> None:
        with suppress(QueueUnavailable):
            await self._queue.wake()

    def _longest(self, seconds: float) -> float:
        # Never past the lease: the server would hand tasks to a process that was stopped while it waited.
        longest = min(seconds, _LONGEST_WAIT_SECONDS, self._queue.config.lease_seconds / 2)
        return longest if self._next_due < 0 else min(longest, max(_SHORTEST_WAIT_SECONDS, self._next_due))

    def settle(
        self, task: StreamTask, settlement: Settlement, on_verdict: Callable[[bool], None] | None = None
    ) -> None:
        """Say what becomes of a task that is held; it is sent with others, and again until Redis answers.

        Args:
            task: Which task.
            settlement: One of ``settlements``.
            on_verdict: Is told whether the delivery was still ours.
        """
        self.held.pop(task.message_id, None)
        self._settler.settle(task, settlement, on_verdict)

    async def flush(self) -> None:
        """Wait until what was settled has been sent."""
        await self._settler.flush()

    # What came ---------------------------------------------------------------------------------------------

    def _receive(self, reply: list[Any]) -> list[StreamTask]:
        now_ms, due, self.owes_a_slot = reply[0], reply[1], reply[2] == 1
        self._next_due = due / 1000 if due >= 0 else -1.0
        taken_at = time.monotonic()
        tasks = []
        for position in range(3, len(reply), _FIELDS):
            stream, entry, head, body = reply[position : position + _FIELDS]
            task = self._entries.read(stream, entry.decode(), head, body, now_ms, taken_at)
            if task is not None:
                self.held[task.message_id] = task
                tasks.append(task)
        # Whoever takes must have them before he hears that one of them is not wanted.
        for task_id in self._heard_while_taking:
            asyncio.get_running_loop().call_soon(self._hear_cancelled, task_id)
        self._heard_while_taking.clear()
        return tasks

    # What changed behind our back --------------------------------------------------------------------------

    def _overrun(self, leases: float) -> list[StreamTask]:
        """Runs that go on so many leases after their time."""
        latest = time.monotonic() - leases * self._queue.config.lease_seconds
        return [
            task
            for task in list(self.held.values())
            if task.started_at and task.started_at + task.timeout < latest
        ]

    def _hangs(self) -> bool:
        """Whether a task runs so long past its time that the loop cannot be looking after it; asked by a thread."""
        return bool(self._overrun(_HANGING_LEASES))

    async def _watch(self, lease_seconds: float) -> None:
        """End tasks whose runs do not end: their worker is well, and the lease that covers all it holds stays."""
        looked_at = time.monotonic()
        while True:
            await asyncio.sleep(lease_seconds / _LOOKS_PER_LEASE)
            slept, looked_at = time.monotonic() - looked_at, time.monotonic()
            if slept < lease_seconds * _ASLEEP_LEASES:
                for task in self._overrun(_OVERRUN_LEASES):
                    self._end_overrun(task)

    def _end_overrun(self, task: StreamTask) -> None:
        self._queue.telemetry.log.warning(
            "queue.task_overran",
            queue=self._queue.name,
            task_id=task.id,
            task_type=task.type,
            timeout_seconds=task.timeout,
            message="its run did not end when its time was over; the task goes on without it",
        )
        error = TimeoutError(f"its run did not end after {task.timeout:g} s and could not be stopped")
        self.settle(task, failed(self._queue, task, error))
        self._on_taken_away(task)

    def _hear_cancelled(self, task_id: str) -> None:
        if self._is_taking:
            self._heard_while_taking.add(task_id)  # it may be among those that are on their way
        for task in list(self.held.values()):
            if task.id == task_id:
                self._on_cancelled(task)

    def _compare_soon(self) -> None:
        self._comparing.set()

    async def _compare_regularly(self, period: float) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(period):
                    await self._comparing.wait()
            self._comparing.clear()
            with suppress(QueueUnavailable):
                await self._compare()

    async def _compare(self) -> None:
        """Compare what we hold with what the server says we hold."""
        before = list(self.held.values())
        known = self._settler.under_way | self.held.keys()
        found = await self._queue.send(self._calls.held(self.name, len(before) + _MOST_UNSEEN))
        theirs = set()
        for position in range(0, len(found), _FIELDS):
            stream, entry, idle_ms, head = found[position : position + _FIELDS]
            message_id = f"{entry.decode()}@{stream}"
            theirs.add(message_id)
            is_known = message_id in known or message_id in self.held
            if not is_known and idle_ms > _LOST_REPLY_SECONDS * 1000:
                self._entries.give_back(stream, entry.decode(), head)
        for task in before:
            if task.message_id not in theirs and self.held.pop(task.message_id, None) is not None:
                self._on_taken_away(task)
        for task_id in await self._queue.cancelled_ids():
            self._hear_cancelled(task_id)
