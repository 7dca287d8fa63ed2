"""A worker process for the tests: notes what it runs in Redis, holds tasks until told, dies if a task says so."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from midas.queue import TaskQueue, TaskQueueConfig, Worker


class Laborer:
    """One worker process.

    Args:
        queue: What to work on.
        release: A file for which tasks of the type ``hold`` wait.
    """

    def __init__(self, queue: TaskQueue, release: Path) -> None:
        self._queue = queue
        self._release = release
        self.lost = 0
        self.handlers = {
            "note": self.note,
            "hold": self.hold,
            "long": self.long,
            "block": self.block,
            "poison": self.poison,
        }

    async def note(self, task):
        await self._queue.redis.rpush(f"ran:{task.id}", f"{os.getpid()} {task.head.deliveries}")
        return os.getpid()

    async def hold(self, task):
        await self.note(task)
        while not self._release.exists():
            await asyncio.sleep(0.01)
        return os.getpid()

    async def long(self, task):
        await self.note(task)
        await asyncio.sleep(task.payload["seconds"])
        return os.getpid()

    async def block(self, task):
        await self.note(task)
        time.sleep(task.payload["seconds"])  # noqa: ASYNC251 -- what must not be done, and is
        return os.getpid()

    async def poison(self, task):
        await self.note(task)
        os.kill(os.getpid(), signal.SIGKILL)


async def labor(redis_url: str, release: str, lease: str, concurrency: str) -> None:
    config = TaskQueueConfig(redis_url, lease_seconds=float(lease), max_deliveries=3)
    async with TaskQueue(config) as queue:
        laborer = Laborer(queue, Path(release))
        worker = Worker(queue, laborer.handlers, int(concurrency))
        taken_away = worker._taken_away

        def count(task):
            laborer.lost += 1
            taken_away(task)

        worker._taken_away = count
        await worker.run()
        await queue.redis.hset("refused", str(os.getpid()), f"{queue.refusals} {laborer.lost}")


if __name__ == "__main__":
    asyncio.run(labor(*sys.argv[1:]))
