"""The side of those who put tasks in and wait for what becomes of them."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from midas.errors import QueueUnavailable, TaskTimeout
from midas.queue.completions import Completions
from midas.queue.envelope import pack_task
from midas.queue.replies import Sighting
from midas.queue.side import QueueSide
from midas.queue.tasks import TaskStatus, check_task, milliseconds

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Submissions(QueueSide):
    """Put tasks in, ask where they are, wait for their results."""

    def __init__(self, redis: Redis, *args: Any, **kwargs: Any) -> None:
        super().__init__(redis, *args, **kwargs)
        self._completions = Completions(redis, self._keys.channel, self._availability)

    async def enqueue_task(
        self,
        task_type: str,
        payload: dict[str, Any],
        *,
        priority: int = 50,
        timeout: float | None = None,  # noqa: ASYNC109 -- the task's, not this call's
        max_wait: float | None = None,
        task_id: str | None = None,
    ) -> str:
        """Put a task in line and give its id. The caller's trace and log context travel with it.

        Args:
            task_type: By which the worker finds the handler.
            payload: Its arguments: strings, numbers, booleans, None, lists and dicts of these, at most 1 MiB.
            priority: 0..100, 100 first.
            timeout: Seconds a run may take, 0.002 to 30 days; the queue's default where it is None.
            max_wait: Seconds the task may wait in line before it is TIMEOUT; as ``timeout`` where it is None. Give
                more for a batch that nobody sits and waits for.
            task_id: 1 to 128 letters, digits and any of ``_.:-``; a random one where it is None. An id that is known,
                even of a task that ended in the last day, changes nothing: a call may be repeated.

        Raises:
            InvalidTask: The task is impossible; nothing was sent.
            QueueUnavailable: Redis did not answer within a second. The task may have been put in nevertheless, so
                repeat with the same ``task_id``, or tell the user.
        """
        task_id = secrets.token_hex(12) if task_id is None else task_id
        check_task(task_type, task_id, priority)
        timeout_ms = milliseconds(self._default_timeout if timeout is None else timeout, "a timeout")
        wait_ms = timeout_ms if max_wait is None else milliseconds(max_wait, "the longest wait")
        body = pack_task(task_type, payload, self._telemetry.carrier())
        move = self._moves.enqueue(task_id, task_type, priority, timeout_ms, wait_ms, body)
        if await self._ask(move) == 1:
            self._telemetry.queue.enqueued(self._keys.name, task_type)
            self._telemetry.log.info(
                "queue.task_enqueued",
                queue=self._keys.name,
                task_id=task_id,
                task_type=task_type,
                priority=priority,
            )
        return task_id

    async def get_result(self, task_id: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ASYNC109
        """Wait for a task's end, woken by it, and give its result. Any number of callers may wait for one task.

        Args:
            task_id: Which task.
            timeout: Seconds to wait; the queue's default where it is None. Does not change the task's own time.

        Raises:
            TaskFailed: It failed; ``reason`` says why.
            TaskTimeout: It waited or ran too long; or it is not finished, and the caller's seconds are over.
            TaskUnknown: It was never enqueued.
            ResultExpired: It ended more than ``result_ttl`` ago.
            QueueUnavailable: Redis was away when the caller's seconds were over.
        """
        limit = self._default_timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        async with self._completions.watching(task_id, at_most=limit) as woken:
            while True:
                woken.clear()
                left = deadline - time.monotonic()
                try:
                    seen = await self._look(task_id)
                except QueueUnavailable:
                    if left <= 0:
                        raise
                    await self._availability.pause(at_most=left)
                    continue
                if seen.is_final:
                    return seen.result()
                if left <= 0:
                    raise TaskTimeout(task_id, f"it is {seen.state} after {limit:g} s")
                # Nobody says anything when a task's time is over and no worker is left to notice: look then.
                await _wait(woken, min(left, max(0.05, seen.seconds_left)) if seen.seconds_left else left)

    async def get_task_status(self, task_id: str) -> TaskStatus:
        """Say where a task is.

        Raises:
            TaskUnknown: It was never enqueued.
            ResultExpired: It ended more than ``result_ttl`` ago.
            QueueUnavailable: Redis did not answer within a second.
        """
        return (await self._look(task_id)).status()

    async def _look(self, task_id: str) -> Sighting:
        state, outcome, left, waiting = await self._ask(self._moves.look(task_id))
        self._count_expired(waiting)
        return Sighting.parse(task_id, state, outcome, left)


async def _wait(woken: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await woken.wait()
