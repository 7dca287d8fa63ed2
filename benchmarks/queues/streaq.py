"""streaq on Redis Streams, started by its own command, which logs each task; its call for many is one pipeline."""

from __future__ import annotations

import os
from time import monotonic_ns
from typing import Self

from queues.arrivals import arrived
from queues.system import PAYLOAD, URL, System, program
from streaq import Worker

worker = Worker(redis_url=os.environ[URL])


@worker.task
async def noop(user_id: int) -> int:
    """Do nothing."""
    return user_id - 6


@worker.task
async def stamped(added_ns: int) -> int:
    """Tell when it began."""
    return arrived(added_ns)


class Queue(System):
    """It keeps a result for five minutes."""

    worker = (program("streaq"), "run", "queues.streaq:worker")

    async def __aenter__(self) -> Self:
        await worker.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await worker.__aexit__(*raised)

    async def add(self) -> None:
        """`enqueue`."""
        await noop.enqueue(**PAYLOAD)

    async def add_many(self, count: int) -> None:
        """`enqueue_many`."""
        await worker.enqueue_many([noop.enqueue(**PAYLOAD) for _ in range(count)])

    async def add_stamped(self) -> None:
        """`enqueue`."""
        await stamped.enqueue(monotonic_ns())

    async def left(self) -> int:
        """Return the length of its stream."""
        return await worker.queue_size()
