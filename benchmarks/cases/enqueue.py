"""How long it takes to add a no-op task, nobody working yet."""

from __future__ import annotations

from time import perf_counter

import uvloop
from queues.system import running

A_CALL = 500
TASKS = 2_000
WARM_UP = 100


def _cost(name: str, tasks: int, a_call: int) -> float:
    """Return the microseconds of a task."""

    async def main() -> float:
        async with running(name) as system:
            for _ in range(WARM_UP):
                await system.add()
            await system.add_many(WARM_UP)
            start = perf_counter()
            for _ in range(tasks // a_call):
                await (system.add() if a_call == 1 else system.add_many(a_call))
            cost = (perf_counter() - start) / tasks * 1e6
            assert await system.left() == tasks + 2 * WARM_UP
            return cost

    return uvloop.run(main())


def midas() -> float:
    """`add_task`, one call after the other."""
    return _cost("midas", TASKS, 1)


def midas_many() -> float:
    """`add_tasks` with 500 tasks a call."""
    return _cost("midas", 20 * TASKS, A_CALL)


def taskiq() -> float:
    """`kiq` of taskiq, one after the other; it has no call for many."""
    return _cost("taskiq", TASKS, 1)


def dramatiq() -> float:
    """`send` of dramatiq, one after the other; its `group` sends the same way."""
    return _cost("dramatiq", TASKS, 1)


def streaq() -> float:
    """`enqueue` of streaq, one after the other."""
    return _cost("streaq", TASKS, 1)


def streaq_many() -> float:
    """`enqueue_many` of streaq with 500 tasks a call."""
    return _cost("streaq", 5 * TASKS, A_CALL)
