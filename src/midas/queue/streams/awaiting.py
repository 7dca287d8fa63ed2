"""The side of a queue of those who wait for a task's end, ask where it is, or do not want it any more."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from midas.errors import QueueUnavailable, ResultExpired, TaskFailed, TaskTimeout, TaskUnknown
from midas.queue.errors import TaskCancelled
from midas.queue.streams.messages import pack_outcome, unpack_outcome
from midas.queue.streams.task import made_at
from midas.queue.tasks import TaskStatus

if TYPE_CHECKING:
    from midas.queue.completions import Completions
    from midas.queue.streams.calls import Calls
    from midas.queue.streams.config import TaskQueueConfig
    from midas.redis import Availability, Call


class Awaiting(ABC):
    """Wait, look, cancel."""

    config: TaskQueueConfig
    calls: Calls
    availability: Availability
    _completions: Completions

    @abstractmethod
    async def ask(self, call: Call) -> Any:
        """Send a call for which a person may be waiting."""

    async def get_result(self, task_id: str, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """Wait for a task's end, woken by it, and give its result. Any number of callers may wait for one task.

        Args:
            task_id: Which task.
            timeout: Seconds to wait; the queue's default for a run where it is None.

        Raises:
            TaskFailed: It failed for good; ``reason`` says why.
            TaskTimeout: Its last run took too long, or it was not begun in time; or it is not finished, and the
                caller's seconds are over.
            TaskCancelled: It was cancelled.
            TaskUnknown: It was never added.
            ResultExpired: It ended more than ``result_ttl`` ago.
            QueueUnavailable: Redis was away when the caller's seconds were over.
        """
        limit = self.config.default_timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        async with self._completions.watching(task_id, at_most=limit) as woken:
            while True:
                woken.clear()
                left = deadline - time.monotonic()
                try:
                    state, outcome = await self._look(task_id, max(left, 0.0))
                except QueueUnavailable:
                    if left <= 0:
                        raise
                    await self.availability.pause(at_most=left)
                    continue
                if state == "ENDED":
                    return _result(task_id, outcome)
                self._check_known(task_id, state)
                if left <= 0:
                    raise TaskTimeout(task_id, f"it is {state} after {limit:g} s")
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await woken.wait()

    async def get_task_status(self, task_id: str) -> TaskStatus:
        """Say where a task is.

        Raises:
            TaskUnknown: It was never added.
            ResultExpired: It ended more than ``result_ttl`` ago.
            QueueUnavailable: Redis did not answer within a second.
        """
        state, outcome = await self._look(task_id, 0.0)
        if state == "ENDED":
            return TaskStatus(unpack_outcome(outcome)[0].state)
        self._check_known(task_id, state)
        return TaskStatus(state)

    async def cancel(self, task_id: str) -> bool:
        """Cancel a task: one that waits ends now, of one that runs the worker is told. False if it had ended already.

        A function that runs in a thread cannot be stopped; its result is thrown away.

        Raises:
            TaskUnknown: There is no such task, or it ended long ago.
            QueueUnavailable: Redis did not answer within a second.
        """
        outcome = pack_outcome(TaskStatus.CANCELLED, "", reason="cancelled before it ran")
        reply: str = (await self.ask(self.calls.cancel(task_id, outcome))).decode()
        if reply == "unknown":
            raise TaskUnknown(task_id)
        return reply != "ended"

    async def _look(self, task_id: str, wait_seconds: float) -> tuple[str, bytes]:
        state, outcome = await self.ask(self.calls.look(task_id, wait_seconds))
        return state.decode(), outcome

    def _check_known(self, task_id: str, state: str) -> None:
        """Tell a task that ended long ago from one that never was.

        An id that a caller gave is remembered for a while; one that was made here says when.
        """
        if state == "KNOWN":
            raise ResultExpired(task_id)
        if state == "UNKNOWN":
            made = made_at(task_id)
            if made is not None and self.config.result_ttl < time.time() - made:
                raise ResultExpired(task_id)
            raise TaskUnknown(task_id)


def _result(task_id: str, data: bytes) -> Any:
    outcome, result = unpack_outcome(data)
    if outcome.state == TaskStatus.COMPLETED:
        return result
    if outcome.state == TaskStatus.TIMEOUT:
        raise TaskTimeout(task_id, outcome.reason)
    if outcome.state == TaskStatus.CANCELLED:
        raise TaskCancelled(task_id, outcome.reason)
    raise TaskFailed(task_id, outcome.reason)
