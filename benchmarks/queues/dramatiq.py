"""dramatiq on Redis with stored results, one process with its default of eight threads."""

from __future__ import annotations

import os
from time import monotonic_ns

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from queues.arrivals import arrived
from queues.system import PAYLOAD, URL, System, program

broker = RedisBroker(url=os.environ[URL])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ[URL])))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop(user_id: int) -> int:
    """Do nothing."""
    return user_id - 6


@dramatiq.actor(store_results=True)
def stamped(added_ns: int) -> int:
    """Tell when it began."""
    return arrived(added_ns)


class Queue(System):
    """Its `group` sends one by one."""

    worker = (program("dramatiq"), "queues.dramatiq", "--processes=1", "--threads=8")

    async def add(self) -> None:
        """`send`."""
        noop.send(**PAYLOAD)

    async def add_stamped(self) -> None:
        """`send`."""
        stamped.send(monotonic_ns())

    async def left(self) -> int:
        """Return how many messages it stores."""
        return await self.client.hlen("dramatiq:default.msgs")
