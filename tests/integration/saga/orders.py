"""A process that runs sagas until it is told to end, or killed; what its steps did stands in Redis.

Usage: orders.py ADDRESS SEED NUMBER: begins that many sagas and recovers what needs an owner.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys

from midas.redis import connect
from midas.saga import Parallel, SagaConfig, SagaOrchestrator, SagaStep, Terminal, current_step

LOG = "effects"
APPLIED = "applied:"
PAUSE_SECONDS = 0.1
"""At most, twice a step: a saga takes long enough that somebody who looks on late still finds it under way."""


def steps(redis, randomness):
    """Each step says what it is about to do, does it, and takes its time before and after."""

    async def do(_):
        run = current_step()
        await asyncio.sleep(randomness.uniform(0, PAUSE_SECONDS))
        async with redis.pipeline() as together:
            together.rpush(LOG, f"{run.saga_id} {run.step} {run.direction} {run.epoch} {run.attempt}")
            if run.direction == "action":
                together.sadd(APPLIED + run.saga_id, run.step)
            else:
                together.srem(APPLIED + run.saga_id, run.step)
            await together.execute()
        await asyncio.sleep(randomness.uniform(0, PAUSE_SECONDS))

    async def refuse_some(context):
        if context["n"] % 3 == 0:
            raise Terminal("every third one")
        await do(context)

    branches = Parallel(SagaStep("b", do, do), SagaStep("c", do, do))
    return [SagaStep("a", do, do), branches, SagaStep("d", do, do), SagaStep("e", refuse_some, do)]


def config(redis_url):
    return SagaConfig(
        redis_url=redis_url,
        name="order",
        lease_seconds=1.5,
        recovery_pause=0.05,
        max_recoveries=100,
        concurrency=20,
    )


async def main(redis_url: str, seed: int, number: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with connect(redis_url) as redis:
        made = steps(redis, random.Random(seed))
        async with SagaOrchestrator(made, config(redis_url)) as orchestrator:
            for n in range(number):
                await orchestrator.start({"n": n}, saga_id=f"s{n}")
            await orchestrator.run_recovery(stop)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
