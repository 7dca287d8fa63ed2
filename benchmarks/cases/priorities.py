"""How long tasks of each priority wait while there is always work of all four."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic

import uvloop
from queues.arrivals import Arrivals
from queues.system import running, workers

BACKLOG = 500
SECONDS = 12.0
LOOK_SECONDS = 0.002
WARM_UP_SECONDS = 4.0


def midas() -> dict[str, float]:
    """Our four streams, each topped up to the same backlog as tasks begin; waits in milliseconds, share in %."""
    from midas.queue import TaskPriority

    waited: dict[int, list[float]] = {int(priority): [] for priority in TaskPriority}

    async def main() -> None:
        async with running("midas") as system, workers(system):
            arrivals = Arrivals()
            arrivals.new()
            missing = Counter(dict.fromkeys(TaskPriority, BACKLOG))
            start = monotonic()
            while (passed := monotonic() - start) < SECONDS:
                for priority, count in missing.items():
                    if count:
                        await system.add_many_stamped(count, priority)
                await asyncio.sleep(LOOK_SECONDS)
                begun = arrivals.new()
                missing = Counter(TaskPriority(tag) for tag, _ in begun)
                if passed > WARM_UP_SECONDS:
                    for tag, nanoseconds in begun:
                        waited[tag].append(nanoseconds / 1e6)

    uvloop.run(main())
    assert waited[TaskPriority.LOW], "nothing of LOW was done"
    done = sum(map(len, waited.values()))
    return {
        **{
            TaskPriority(tag).name.lower(): sorted(waits)[len(waits) * 99 // 100]
            for tag, waits in waited.items()
        },
        "low_share": 100 * len(waited[TaskPriority.LOW]) / done,
    }
