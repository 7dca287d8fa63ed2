"""Runs the tasks of a streams queue, many at a time, and says how each ended; no task can end the worker.

Tasks are taken as there is room, and, where they are short, a tenth of a second's work ahead. A worker that is told to
stop takes nothing more, finishes what runs within a deadline, and gives back the rest at once.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import time
from collections import deque
from contextlib import nullcontext, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, cast

from botmetry import context
from midas.errors import QueueUnavailable
from midas.queue.streams import settlements
from midas.queue.streams.closing import to_the_end
from midas.queue.streams.deadlines import Deadlines
from midas.queue.streams.failures import buried, failed
from midas.queue.streams.handlers import bind
from midas.queue.streams.reader import Reader
from midas.queue.streams.strays import Strays
from midas.queue.tasks import TaskStatus
from midas.redis import cancellations, end
from midas.signals import stopped_by_signals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from midas.queue.streams.handlers import Bound, Handler
    from midas.queue.streams.queue import TaskQueue
    from midas.queue.streams.settlements import Settlement
    from midas.queue.streams.task import StreamTask

_AHEAD_SECONDS: Final = 0.1
"""Work that is held ahead: a round trip is a hundredth of it, and a task that is held waits no longer."""
_MOST_IN_A_CALL: Final = 500
"""Tasks that one call takes: it holds up the server for a few milliseconds, however many could start."""
_LONG_SECONDS: Final = 1.0
"""Where tasks take so long, none is held ahead: it would wait here while others are free."""
_SMOOTHING: Final = 0.1
_LOOK_SECONDS: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 0.05


class Worker:
    """Runs tasks in this process.

    Args:
        queue: Where tasks come from.
        handlers: By task type: a function that takes the payload, or the ``StreamTask`` if its parameter is called
            ``task``; async, or plain and then run in a thread; or a ``Batch``. A type that is missing is a dead letter.
        concurrency: Tasks at a time.
        worker_id: Who we are, for people who look; host and process id where it is None.
        drain_seconds: Time to finish what runs when told to stop.

    Raises:
        ValueError: The concurrency is none, or a batch is larger than it.
    """

    def __init__(
        self,
        queue: TaskQueue,
        handlers: Mapping[str, Handler],
        concurrency: int = 100,
        *,
        worker_id: str | None = None,
        drain_seconds: float = 20.0,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"a concurrency is 1 or more and not {concurrency!r}")
        self._queue = queue
        self._telemetry = queue.telemetry
        self._freed = asyncio.Event()
        self._strays = Strays(self._begin_ahead)
        self._handlers: dict[str, Bound] = {
            name: bind(handler, concurrency, self._strays) for name, handler in handlers.items()
        }
        self._concurrency = concurrency
        self._worker_id = worker_id or f"{socket.gethostname()}-{os.getpid()}"
        self._drain_seconds = drain_seconds
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._ahead: deque[StreamTask] = deque()
        self._stop = asyncio.Event()
        self._deadlines = Deadlines(self._time_out)
        self._unwanted: dict[str, TaskStatus | None] = {}
        self._mean_seconds: float | None = None
        self._looked_at = time.monotonic()
        self._context = copy_context()

    async def run(self, *, until_empty: bool = False, handle_signals: bool = True) -> None:
        """Run tasks until ``stop()``, SIGTERM or SIGINT; a second signal gives back at once what runs.

        Meanwhile the telemetry shows the queue's sizes and the age of its oldest task.

        Args:
            until_empty: End as well when nothing waits and nothing will be retried within the longest pause.
            handle_signals: Whether signals are ours; False in a process that has others to see to as well.
        """
        self._context = copy_context()
        reader = Reader(
            self._queue, self._worker_id, on_taken_away=self._taken_away, on_cancelled=self._cancelled
        )
        with stopped_by_signals(self._stop, self._hurry) if handle_signals else nullcontext():
            async with reader:
                self._reader = reader
                if not until_empty:
                    self._telemetry.queue.watch(self._queue.name, self._queue.state)
                self._telemetry.log.info("worker.started", queue=self._queue.name, worker_id=self._worker_id)
                try:
                    await self._take_until_stopped(until_empty=until_empty)
                finally:
                    await to_the_end(self._finish(), self._hurry)
        self._stop.clear()
        self._telemetry.log.info("worker.stopped", queue=self._queue.name, worker_id=self._worker_id)

    def stop(self) -> None:
        """Take no more tasks, finish what runs, and return from ``run``; said before ``run``, it returns at once."""
        self._stop.set()
        self._freed.set()

    def check(self) -> None:
        """Say whether tasks are being taken; for readiness checks.

        Raises:
            RuntimeError: They are not.
        """
        stuck = len(self._strays) + self._lost()
        if stuck >= self._concurrency:
            raise RuntimeError(f"all {stuck} places are taken by runs that were told to stop and go on")
        silent = time.monotonic() - self._looked_at
        if self._room()[0] > 0 and silent > self._queue.config.lease_seconds:
            raise RuntimeError(f"nobody has looked for tasks for {silent:.0f} s")

    # Taking ------------------------------------------------------------------------------------------------

    async def _take_until_stopped(self, *, until_empty: bool) -> None:
        stopped = asyncio.create_task(self._stop.wait())
        taking = asyncio.create_task(self._take_all(until_empty=until_empty))
        try:
            await asyncio.wait({stopped, taking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(stopped, taking)
        if not taking.cancelled():
            taking.result()

    async def _take_all(self, *, until_empty: bool) -> None:
        # Who only empties the queue looks more often: what runs may add tasks, wait for them, and be the last.
        patience = _LOOK_AGAIN_SECONDS if until_empty else _LOOK_SECONDS
        may_be_more = True
        while True:
            while sum(room := self._room()) == 0:
                self._freed.clear()
                await self._freed.wait()
            try:
                # Where there was less than we had room for, whatever comes from then on wakes us.
                tasks = await self._reader.take(*room, wait_seconds=0.0 if may_be_more else patience)
                self._looked_at = time.monotonic()
                for task in tasks:
                    self._accept(task)
                if tasks:
                    await asyncio.sleep(0)  # they begin before anything is done about the next ones
                may_be_more = len(tasks) >= sum(room) or self._reader.owes_a_slot
                if until_empty and not tasks and len(self._runs) == self._lost() and await self._is_empty():
                    return
            except QueueUnavailable:
                await self._queue.availability.pause(at_most=_LOOK_SECONDS)

    def _room(self) -> tuple[int, int]:
        """How many tasks could start, and how many more could be held ahead."""
        free = self._free_places() - len(self._ahead)
        slots = max(0, min(free, _MOST_IN_A_CALL))
        return slots, max(0, min(self._most_ahead() + min(0, free), _MOST_IN_A_CALL - slots))

    def _most_ahead(self) -> int:
        mean = self._mean_seconds
        if mean is None or mean > _LONG_SECONDS or self._reader.owes_a_slot or self._strays:
            return 0
        return min(
            2 * self._queue.config.batch_size, int(self._concurrency * _AHEAD_SECONDS / max(mean, 1e-6))
        )

    async def _is_empty(self) -> bool:
        await self._reader.flush()
        now = await self._queue.statistics()
        due = now.next_due_seconds
        soon = due is not None and due <= self._queue.config.longest_retry_seconds
        return now.ready == 0 and now.parked == 0 and not soon

    # Running -----------------------------------------------------------------------------------------------

    def _accept(self, task: StreamTask) -> None:
        if self._free_places() > 0:
            self._start(task)
        else:
            self._ahead.append(task)

    def _start(self, task: StreamTask) -> None:
        task.started_at = time.monotonic()
        # Each in a context of its own: the end of another run begins this one, and what that set is not for this one.
        self._runs[task.message_id] = asyncio.create_task(self._run(task), context=self._context.copy())

    def _ended(self, task: StreamTask) -> None:
        del self._runs[task.message_id]
        self._unwanted.pop(task.message_id, None)
        took = time.monotonic() - task.started_at
        mean = self._mean_seconds
        self._mean_seconds = took if mean is None else mean + _SMOOTHING * (took - mean)
        if self._strays:
            self._give_back_ahead()  # who knows when there will be a place for it
        self._begin_ahead()

    def _free_places(self) -> int:
        return self._concurrency - len(self._runs) - len(self._strays)

    def _begin_ahead(self) -> None:
        while self._ahead and self._free_places() > 0 and not self._stop.is_set():
            self._start(self._ahead.popleft())
        self._freed.set()

    async def _run(self, task: StreamTask) -> None:
        """Run one task in the context of whoever added it, and see to it that its end is known."""
        try:
            if task.attempt == 1:
                self._telemetry.queue.waited(self._queue.name, task.waited_seconds)
            if task.carrier:
                with self._telemetry.continue_from(task.carrier):
                    settlement = await self._outcome(task)
            else:
                settlement = await self._outcome(task)
            if settlement is not None:
                self._reader.settle(task, settlement)
        finally:
            self._ended(task)

    async def _outcome(self, task: StreamTask) -> Settlement | None:
        context.bind(task_id=task.id)  # for good: a run has a context of its own
        handler = self._handlers.get(task.type)
        if task.is_overdue:
            return self._overdue(task)
        if handler is None:
            return buried(self._queue, task, f"no handler for {task.type!r} in worker {self._worker_id}")
        self._deadlines.watch(task)
        try:
            with self._telemetry.queue.task(self._queue.name, task.type):
                result = await self._timed(handler, task)
            return settlements.completed(task, result)
        except asyncio.CancelledError as error:
            # A handler may raise this by itself. If that gave the task back, it would come again, and for ever.
            is_stopped = cancellations() > 0 or self._is_lost(task)
            return self._stopped(task) if is_stopped else failed(self._queue, task, error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 -- whatever a handler raises fails its task and nothing else
            return None if self._is_lost(task) else failed(self._queue, task, error)
        finally:
            self._deadlines.forget(task)

    async def _timed(self, handler: Bound, task: StreamTask) -> Any:
        try:
            return await handler(task)
        except asyncio.CancelledError:
            if self._unwanted.get(task.message_id) is TaskStatus.TIMEOUT:
                raise TimeoutError(f"it was stopped after {task.timeout:g} s") from None
            raise

    def _overdue(self, task: StreamTask) -> Settlement:
        with self._telemetry.queue.task(self._queue.name, task.type) as operation:
            operation.outcome = "timeout"
            operation.set(reason="waited too long")
        return settlements.ended(task, TaskStatus.TIMEOUT, "it waited longer than it was worth")

    def _lost(self) -> int:
        """How many runs go on of which nobody wants to know what becomes of them."""
        return list(self._unwanted.values()).count(None)

    def _is_lost(self, task: StreamTask) -> bool:
        return self._unwanted.get(task.message_id, TaskStatus.PROCESSING) is None

    def _stopped(self, task: StreamTask) -> Settlement | None:
        """What becomes of a run that was cancelled."""
        if task.message_id not in self._unwanted:
            return settlements.returned(task)
        status = self._unwanted[task.message_id]
        return None if status is None else settlements.ended(task, status, "cancelled while it ran")

    # Stopping ----------------------------------------------------------------------------------------------

    def _time_out(self, task: StreamTask) -> None:
        self._cancel(task, TaskStatus.TIMEOUT)

    def _cancelled(self, task: StreamTask) -> None:
        if task in self._ahead:
            self._ahead.remove(task)
            self._reader.settle(
                task, settlements.ended(task, TaskStatus.CANCELLED, "cancelled before it ran")
            )
        else:
            self._cancel(task, TaskStatus.CANCELLED)

    def _taken_away(self, task: StreamTask) -> None:
        self._telemetry.log.warning("worker.task_lost", task_id=task.id, task_type=task.type)
        if task in self._ahead:
            self._ahead.remove(task)
        else:
            self._unwanted.pop(
                task.message_id, None
            )  # whatever was to become of it is not for us to say any more
            self._cancel(task, None)

    def _cancel(self, task: StreamTask, status: TaskStatus | None) -> None:
        run = self._runs.get(task.message_id)
        if run is not None and task.message_id not in self._unwanted:
            self._unwanted[task.message_id] = status
            _cancel_begun(run)

    def _hurry(self) -> None:
        for run in list(self._runs.values()):
            _cancel_begun(run)

    async def _finish(self) -> None:
        """Give back what has not begun, wait for what runs, then give back that."""
        self._give_back_ahead()
        if self._runs:
            self._telemetry.log.info("worker.draining", running=len(self._runs), seconds=self._drain_seconds)
            await asyncio.wait(self._runs.values(), timeout=self._drain_seconds)
        self._hurry()
        await asyncio.sleep(0)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._queue.config.lease_seconds):
                await end(*self._runs.values())

    def _give_back_ahead(self) -> None:
        while self._ahead:
            task = self._ahead.popleft()
            self._reader.settle(task, settlements.returned(task))


def _cancel_begun(run: asyncio.Task[None]) -> None:
    """Cancel a run once it has begun: one that is cancelled before could not even say how it ended."""
    if inspect.getcoroutinestate(cast("Any", run.get_coro())) == inspect.CORO_CREATED:
        asyncio.get_running_loop().call_soon(run.cancel)
    else:
        run.cancel()
