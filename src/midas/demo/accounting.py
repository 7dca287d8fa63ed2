"""Where every task that was ever enqueued is now, asked of Redis itself: the proof that none is lost."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import cast

import redis.asyncio

from midas.queue import TaskQueue
from midas.queue.keys import QueueKeys
from midas.queue.streams.keys import StreamKeys
from midas.sync.notices import NOTICES, notices_config

__all__ = ["Account", "read_account", "read_notices"]

_QUEUE = "ai"


@dataclass(frozen=True, slots=True)
class Account:
    """A count of tasks by where they are.

    Attributes:
        enqueued: How many were ever accepted.
        finished: How many have an outcome, a failure or a timeout included.
        waiting: How many wait for a worker.
        running: How many a worker has.
    """

    enqueued: int
    finished: int
    waiting: int
    running: int

    @property
    def lost(self) -> int:
        """Return how many are nowhere; 0 unless something is broken."""
        return self.enqueued - self.finished - self.waiting - self.running


async def read_account(redis_url: str) -> Account:
    """Count the AI's tasks at one moment, in one transaction.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    place = {key.rpartition(":")[2]: key for key in QueueKeys(_QUEUE).places}
    client = redis.asyncio.Redis.from_url(redis_url)
    try:
        async with client.pipeline(transaction=True) as pipe:
            pipe.get(place["sequence"])
            for name in ("ready", "in_flight", "finished", "forgotten"):
                pipe.zcard(place[name])
            sequence, ready, in_flight, finished, forgotten = await pipe.execute()
    finally:
        await client.aclose()
    return Account(int(sequence or 0), finished + forgotten, ready, in_flight)


async def read_notices(redis_url: str) -> Account:
    """Count the notices at one moment, in one script. Dead letters have ended, unless somebody had them replayed.

    Raises:
        QueueUnavailable: Redis does not answer.
        redis.RedisError: Redis does not answer any more.
    """
    queue = TaskQueue(notices_config(redis_url))
    try:
        now = await queue.statistics()
        counts = StreamKeys(NOTICES).tag + "stats"
        replayed = await cast("Awaitable[bytes | None]", queue.redis.hget(counts, "replayed"))
    finally:
        await queue.aclose()
    ended = now.completed + now.failed - int(replayed or 0)
    return Account(now.added, ended, now.ready + now.delayed + now.parked, now.in_flight)
