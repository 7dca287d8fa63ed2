"""Our streams queue, with fencing, timeouts, stored results and metrics, as `python -m queues.midas`; on uvloop."""

from __future__ import annotations

import os
import signal
import sys
from time import monotonic_ns, thread_time_ns
from typing import Any, Self

import uvloop
from queues.arrivals import arrived
from queues.system import PAYLOAD, URL, System

from botmetry import LogSettings, Telemetry
from midas.queue import NewTask, TaskPriority, TaskQueue, TaskQueueConfig, Worker

RESULT_SECONDS = "RESULT_SECONDS"
"""Variable that tells how long results are kept."""


def _queue() -> TaskQueue:
    telemetry = Telemetry("bench", log=LogSettings(level="warning"))
    config = TaskQueueConfig(
        redis_url=os.environ[URL], result_ttl=float(os.environ.get(RESULT_SECONDS, "3600"))
    )
    return TaskQueue(config, telemetry=telemetry)


async def noop(payload: dict[str, Any]) -> int:
    """Do nothing."""
    return payload["user_id"] - 6


async def working(payload: dict[str, Any]) -> int:
    """Compute for a tenth of a millisecond, of this thread's own time."""
    end = thread_time_ns() + 100_000
    while thread_time_ns() < end:
        pass
    return payload["user_id"] - 6


async def stamped(payload: dict[str, Any]) -> int:
    """Tell when it began."""
    return arrived(payload["added_ns"], payload.get("tag"))


class Queue(System):
    """A call adds up to 500."""

    worker = (sys.executable, "-m", "queues.midas")
    stops_when_ready = True

    async def __aenter__(self) -> Self:
        self._queue = await _queue().__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._queue.__aexit__(*raised)

    async def add(self) -> None:
        """`add_task`."""
        await self._queue.add_task("noop", PAYLOAD)

    async def add_many(self, count: int) -> None:
        """`add_tasks`."""
        await self._queue.add_tasks([NewTask("noop", PAYLOAD) for _ in range(count)])

    async def add_many_working(self, count: int) -> None:
        """`add_tasks`, of tasks that compute."""
        await self._queue.add_tasks([NewTask("working", PAYLOAD) for _ in range(count)])

    async def add_stamped(self) -> None:
        """`add_task`."""
        await self._queue.add_task("stamped", {"added_ns": monotonic_ns()})

    async def add_many_stamped(self, count: int, priority: TaskPriority = TaskPriority.NORMAL) -> None:
        """`add_tasks`."""
        payload = {"added_ns": monotonic_ns(), "tag": int(priority)}
        await self._queue.add_tasks([NewTask("stamped", payload, priority) for _ in range(count)])

    async def left(self) -> int:
        """Return how many have not ended."""
        return await self.client.hlen("{q:tasks}:live")


async def _main() -> None:
    async with _queue() as queue:
        worker = Worker(queue, {"noop": noop, "working": working, "stamped": stamped}, concurrency=100)
        os.kill(os.getpid(), signal.SIGSTOP)  # goes on when all are here
        await worker.run()


if __name__ == "__main__":
    uvloop.run(_main())
