"""Tasks one after the other for a caller with a loop of its own, who says himself what becomes of each.

``Worker`` is the way to run functions. This is for whoever wants the tasks as such: to hand them to another system, to
end them in another order, or in transactions with something else.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from midas.errors import QueueUnavailable
from midas.queue.errors import LeaseLost
from midas.queue.streams import settlements
from midas.queue.streams.failures import failed
from midas.queue.streams.reader import Reader
from midas.queue.tasks import TaskStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from midas.queue.streams.queue import TaskQueue
    from midas.queue.streams.settlements import Settlement
    from midas.queue.streams.task import StreamTask

_LOOK_SECONDS: Final = 1.0


class Consuming(ABC):
    """The side of a queue that gives tasks out, and takes back what became of them."""

    _consumers: set[Consumer]

    async def consume_tasks(
        self, worker_id: str, *, ahead: int = 0
    ) -> AsyncGenerator[tuple[str, StreamTask], None]:
        """Give out tasks for ever: the id of the delivery, and the task.

        Each has to be ended with ``complete_task`` or ``fail_task``, in any order and from any asyncio task. Until
        then its lease is renewed, for as long as its timeout and one lease more: then it counts as a run that took too
        long, and whoever ends it after all gets ``LeaseLost``. Whoever leaves the loop gives back
        what he has not ended, and others have it at once; to be sure that this has happened before the next line, use
        ``contextlib.aclosing``. While Redis is away the loop waits.

        A task that is cancelled while it is out ends as it is told: COMPLETED if it is completed, and CANCELLED if it
        fails or goes back.

        Args:
            worker_id: Who we are, for people who look.
            ahead: Tasks that are fetched before they are wanted: worth it where they take milliseconds.
        """
        queue = cast("TaskQueue", self)
        consumer = Consumer(queue, worker_id)
        self._consumers.add(consumer)
        try:
            await consumer.open()
            while True:
                task = await consumer.next(ahead)
                yield task.message_id, task
        finally:
            await consumer.aclose()
            self._consumers.discard(consumer)

    async def complete_task(self, message_id: str, result: object = None) -> None:
        """End a task with its result; returns when Redis knows, however long Redis is away.

        Raises:
            LeaseLost: It is not ours any more, or never was: nothing was changed.
            InvalidTask: The result cannot be sent. The task is still ours.
        """
        consumer, task = self._find(message_id)
        await consumer.end(task, settlements.completed(task, result), None)

    async def fail_task(
        self, message_id: str, error: BaseException | str, task: StreamTask | None = None
    ) -> None:
        """Say that a task failed: it is tried again after a pause, or goes to the dead letters, as with ``Worker``.

        Args:
            message_id: Which delivery.
            error: Why. ``GiveUp``, ``Retry`` and ``TimeoutError`` mean what they mean when a handler raises them.
            task: What was delivered; checked where it is given.

        Raises:
            LeaseLost: It is not ours any more, or never was: nothing was changed.
            ValueError: The delivery is one of another task.
        """
        consumer, held = self._find(message_id)
        if task is not None and task is not held:
            raise ValueError(f"{message_id} is a delivery of task {held.id}, and not of {task.id}")
        await consumer.end(held, failed(cast("TaskQueue", self), held, error), error)

    def _find(self, message_id: str) -> tuple[Consumer, StreamTask]:
        for consumer in self._consumers:
            task = consumer.given.get(message_id)
            if task is not None:
                return consumer, task
        raise LeaseLost(message_id, "it is not held here")


class Consumer:
    """One loop: its reader, and the tasks that it gave out and nobody has ended.

    Args:
        queue: What is read.
        worker_id: Who reads.
    """

    def __init__(self, queue: TaskQueue, worker_id: str) -> None:
        self.given: dict[str, StreamTask] = {}
        self._queue = queue
        self._reader = Reader(queue, worker_id, on_taken_away=self._taken_away, on_cancelled=self._cancelled)
        self._ahead: deque[StreamTask] = deque()
        self._runs: dict[str, asyncio.Future[BaseException | str | None]] = {}
        self._reports: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Begin to renew the lease."""
        await self._reader.__aenter__()

    async def next(self, ahead: int) -> StreamTask:
        """Wait for the next task that is worth beginning."""
        while True:
            while not self._ahead:
                await self._fetch(0 if self._reader.owes_a_slot else ahead)
            task = self._ahead.popleft()
            if not task.is_overdue:
                self._give(task)
                return task
            reason = "it waited longer than it was worth"
            self._reader.settle(task, settlements.ended(task, TaskStatus.TIMEOUT, reason))

    async def end(self, task: StreamTask, settlement: Settlement, error: BaseException | str | None) -> None:
        """Settle a task that was given out.

        Raises:
            LeaseLost: It had been taken away.
        """
        del self.given[task.message_id]
        verdict: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def hear(is_kept: bool) -> None:  # noqa: FBT001 -- what the server said
            if not verdict.done():  # whoever asked may have been cancelled
                verdict.set_result(is_kept)

        self._reader.settle(task, settlement, hear)
        self._report(task, error)
        if not await verdict:
            raise LeaseLost(task.id)

    async def aclose(self) -> None:
        """Give back what was not ended. Whoever is second waits for the first."""
        if self._closing is None:
            for task in list(self.given.values()):
                self._forget(task)
            self._closing = asyncio.ensure_future(self._reader.__aexit__(None, None, None))
        await asyncio.shield(self._closing)

    async def _fetch(self, ahead: int) -> None:
        try:
            self._ahead += await self._reader.take(1, ahead) or await self._reader.take(
                1, ahead, wait_seconds=_LOOK_SECONDS
            )
        except QueueUnavailable:
            await self._queue.availability.pause(at_most=_LOOK_SECONDS)

    def _give(self, task: StreamTask) -> None:
        task.started_at = time.monotonic()
        self.given[task.message_id] = task
        if task.attempt == 1:
            self._queue.telemetry.queue.waited(self._queue.name, task.waited_seconds)
        ended = self._runs[task.message_id] = asyncio.get_running_loop().create_future()
        # Its own asyncio task, because whoever ends a task may be another one than had it.
        report = asyncio.create_task(self._reported(task, ended))
        self._reports.add(report)
        report.add_done_callback(self._reports.discard)

    async def _reported(self, task: StreamTask, ended: asyncio.Future[BaseException | str | None]) -> None:
        """Count, log and trace a run that ends when somebody says so."""
        telemetry = self._queue.telemetry
        with (
            suppress(Exception, asyncio.CancelledError),
            telemetry.continue_from(task.carrier),
            telemetry.context(task_id=task.id),
            telemetry.queue.task(self._queue.name, task.type) as operation,
        ):
            error = await ended
            if isinstance(error, Exception):
                raise error
            if error is not None:
                operation.outcome = "error"
                operation.set(reason=str(error))

    def _report(self, task: StreamTask, error: BaseException | str | None) -> None:
        ended = self._runs.pop(task.message_id, None)
        if ended is not None and not ended.done():
            ended.set_result(error)

    def _forget(self, task: StreamTask) -> None:
        self.given.pop(task.message_id, None)
        ended = self._runs.pop(task.message_id, None)
        if ended is not None:
            ended.cancel()

    def _taken_away(self, task: StreamTask) -> None:
        if task in self._ahead:
            self._ahead.remove(task)
        self._forget(task)

    def _cancelled(self, task: StreamTask) -> None:
        if task in self._ahead:
            self._ahead.remove(task)
            reason = "cancelled before it ran"
            self._reader.settle(task, settlements.ended(task, TaskStatus.CANCELLED, reason))
