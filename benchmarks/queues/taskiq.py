"""taskiq on Redis Streams with stored results, started by its own command with its defaults; it takes uvloop."""

from __future__ import annotations

import os
from time import monotonic_ns
from typing import Self

from queues.arrivals import arrived
from queues.system import PAYLOAD, URL, System, program
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

broker = RedisStreamBroker(os.environ[URL]).with_result_backend(
    RedisAsyncResultBackend(os.environ[URL], result_ex_time=3600)
)


@broker.task
async def noop(user_id: int) -> int:
    """Do nothing."""
    return user_id - 6


@broker.task
async def stamped(added_ns: int) -> int:
    """Tell when it began."""
    return arrived(added_ns)


class Queue(System):
    """It has no call for many."""

    worker = (program("taskiq"), "worker", "queues.taskiq:broker", "--workers=1", "--log-level=WARNING")

    async def __aenter__(self) -> Self:
        await broker.startup()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await broker.shutdown()

    async def add(self) -> None:
        """`kiq`."""
        await noop.kiq(**PAYLOAD)

    async def add_stamped(self) -> None:
        """`kiq`."""
        await stamped.kiq(monotonic_ns())

    async def left(self) -> int:
        """Return what the group has not acknowledged and what it has not read."""
        (group,) = await self.client.xinfo_groups("taskiq")
        return group["pending"] + group["lag"]
