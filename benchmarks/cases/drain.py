"""How long a worker process takes for a no-op task of a backlog, result stored."""

from __future__ import annotations

import asyncio
from time import perf_counter

import uvloop
from queues.system import System, deadline, running, workers

LOOK_SECONDS = 0.01


async def fill(system: System, tasks: int, kind: str = "add_many") -> None:
    """Add so many no-op tasks, or what else `kind` adds, in calls of at most 500."""
    for first in range(0, tasks, 500):
        await getattr(system, kind)(min(500, tasks - first))


async def rate_of_backlog(system: System, tasks: int) -> float:
    """Return how many tasks a second are done of a backlog, from the first finish that is seen to the last."""
    for _ in deadline():
        if (seen := await system.left()) < tasks:
            break
        await asyncio.sleep(LOOK_SECONDS)
    start = perf_counter()
    for _ in deadline():
        if not await system.left():
            break
        await asyncio.sleep(LOOK_SECONDS)
    assert seen > 0.5 * tasks, "most was done before anybody looked"
    return seen / (perf_counter() - start)


def _cost(name: str, tasks: int, processes: int = 1, kind: str = "add_many") -> float:
    """Return the microseconds of a task."""

    async def main() -> float:
        async with running(name) as system:
            await fill(system, tasks, kind)
            assert await system.left() == tasks
            async with workers(system, processes):
                rate = await rate_of_backlog(system, tasks)
            assert await system.client.dbsize() >= tasks, "a task has no result"
            return 1e6 / rate

    return uvloop.run(main())


def midas() -> float:
    """Ours."""
    return _cost("midas", 40_000)


def midas_four() -> float:
    """Ours, four worker processes."""
    return _cost("midas", 60_000, 4)


def midas_working() -> float:
    """Ours, tasks that compute for a tenth of a millisecond."""
    return _cost("midas", 20_000, 1, "add_many_working")


def midas_four_working() -> float:
    """Ours, the same with four worker processes."""
    return _cost("midas", 30_000, 4, "add_many_working")


def taskiq() -> float:
    """Taskiq with Redis Streams."""
    return _cost("taskiq", 5_000)


def dramatiq() -> float:
    """dramatiq, eight threads."""
    return _cost("dramatiq", 5_000)
