"""The side of those who run tasks: each holds a task by the token of its delivery, and ends it by that."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from midas.errors import QueueUnavailable
from midas.queue.envelope import pack_outcome, unpack_task
from midas.queue.errors import LeaseLost, UnreadableTask
from midas.queue.replies import Delivery
from midas.queue.side import QueueSide
from midas.queue.tasks import TaskStatus
from midas.redis.connection import SOCKET_SECONDS

if TYPE_CHECKING:
    from midas.queue.tasks import Task

_WAIT_SLICE_SECONDS: Final = 2.0
"""A waiting worker is woken by the next task; it looks by itself, too, in case another died with the wake-up call."""


class Deliveries(QueueSide):
    """Take tasks and end them."""

    async def dequeue_task(self, worker_id: str, wait_seconds: float = 0.0) -> Task | None:
        """Take the first task in line, waiting for one if there is none; None when none came.

        While Redis is away this waits, too. What cannot be read is put to the dead, and the next one taken. A call
        that is cancelled gives back what it had just taken.

        Args:
            worker_id: Who asks, for people who look.
            wait_seconds: How long to wait; 0 looks once.
        """
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                task = await self._take(worker_id)
                left = deadline - time.monotonic()
                if task is not None or left <= 0:
                    return task
                await self._wait_for_marker(min(left, _WAIT_SLICE_SECONDS))
            except QueueUnavailable:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                await self._availability.pause(at_most=left)

    async def store_result(self, task: Task, result: dict[str, Any]) -> None:
        """End a task well.

        Raises:
            InvalidTask: The result cannot be sent: fail the task instead.
            LeaseLost: The task is not this delivery's any more, or ran too long: the result was refused.
            QueueUnavailable: Redis did not answer within ten seconds; may be repeated.
        """
        outcome = pack_outcome(TaskStatus.COMPLETED, task.token, result=result)
        await self._finish(task, TaskStatus.COMPLETED, outcome)

    async def fail(self, task: Task, error: BaseException | str) -> None:
        """End a task badly: as TIMEOUT if the error is a ``TimeoutError``, else as FAILED.

        Raises:
            LeaseLost: The task is not this delivery's any more.
            QueueUnavailable: Redis did not answer within ten seconds; may be repeated.
        """
        state = TaskStatus.TIMEOUT if isinstance(error, TimeoutError) else TaskStatus.FAILED
        reason = error if isinstance(error, str) else f"{type(error).__name__}: {error}".removesuffix(": ")
        await self._finish(task, state, pack_outcome(state, task.token, reason=reason))

    async def extend(self, task: Task) -> None:
        """Renew a task's lease. Workers let a ``LeaseKeeper`` do it.

        Raises:
            LeaseLost: The task is not this delivery's any more, or its time is over.
            QueueUnavailable: Redis did not answer within ten seconds.
        """
        if await self._work(self._moves.extend([(task.id, task.token)])):
            raise LeaseLost(task.id)

    async def give_back(self, task: Task) -> None:
        """Let another worker run the task at once, from the beginning: this one stops, and the task is not to blame.

        Raises:
            LeaseLost: The task is not this delivery's any more.
            QueueUnavailable: Redis did not answer within ten seconds; may be repeated.
        """
        if await self._work(self._moves.give_back(task.id, task.token, counted=False, reason="")) == b"lost":
            raise LeaseLost(task.id)

    async def retry(self, task: Task, reason: str) -> None:
        """Put the task back to the front of its priority after an error that may pass; the last delivery makes it dead.

        Raises:
            LeaseLost: The task is not this delivery's any more.
            QueueUnavailable: Redis did not answer within ten seconds; may be repeated.
        """
        reply = await self._work(self._moves.give_back(task.id, task.token, counted=True, reason=reason))
        if reply == b"lost":
            raise LeaseLost(task.id)
        if reply == b"dead":
            self._note_dead(task.id, task.type, reason)
        else:
            self._telemetry.queue.retried(self._keys.name)

    async def bury(self, task: Task, reason: str) -> None:
        """Put a task to the dead, because no worker will ever be able to run it.

        Raises:
            LeaseLost: The task is not this delivery's any more.
            QueueUnavailable: Redis did not answer within ten seconds; may be repeated.
        """
        if await self._work(self._moves.bury(task.id, task.token, reason)) == b"lost":
            raise LeaseLost(task.id)
        self._note_dead(task.id, task.type, reason)

    async def _take(self, worker_id: str) -> Task | None:
        """Run the script to its end even if the caller is cancelled: its reply may hold a task."""
        taking = asyncio.ensure_future(self._take_readable(worker_id))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            with suppress(QueueUnavailable, LeaseLost):
                task = await taking
                if task is not None:
                    await self.give_back(task)
            raise

    async def _take_readable(self, worker_id: str) -> Task | None:
        while True:
            token = secrets.token_hex(8)
            taken_at = time.monotonic()
            fields, waiting = await self._work(self._moves.take(token, worker_id, self._lease_ms))
            self._count_expired(waiting)
            delivery = Delivery.parse(fields)
            if delivery is None:
                return None
            try:
                return delivery.task(unpack_task(delivery.body), worker_id, token, taken_at)
            except UnreadableTask as error:
                await self._work(self._moves.bury(delivery.id, token, str(error)))
                self._note_dead(delivery.id, delivery.type, str(error))

    async def _wait_for_marker(self, seconds: float) -> None:
        # redis-py types the reply for sync and async at once.
        await self._availability.ask(
            "",
            lambda: cast("Any", self._redis.bzpopmin(self._keys.marker, seconds)),
            within=seconds + SOCKET_SECONDS,
        )

    async def _finish(self, task: Task, state: TaskStatus, outcome: bytes) -> None:
        reply = await self._work(self._moves.finish(task.id, task.token, state, outcome))
        if reply == b"late":
            raise LeaseLost(task.id, f"it ran longer than {task.timeout:g} s")
        if reply == b"lost":
            raise LeaseLost(task.id)
