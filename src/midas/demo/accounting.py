"""Where every AI task that was ever enqueued is now, asked of Redis itself: the proof that none is lost."""

from dataclasses import dataclass

import redis.asyncio

from midas.queue.keys import QueueKeys

__all__ = ["Account", "read_account"]

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
    """Count at one moment, in one transaction.

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
