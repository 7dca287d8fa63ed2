"""How long after the call that adds it a task begins, adding and working being different processes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import monotonic

import uvloop
from cases.drain import fill, rate_of_backlog
from queues.arrivals import Arrivals
from queues.system import System, deadline, running, workers

Figures = dict[str, float]

IDLE_SECONDS = 0.02
IDLE_TASKS = 250
WARM_UP = 25
LOAD = 0.7
LOADED_SECONDS = 4.0
TICK_SECONDS = 0.001
BACKLOG = {"midas": 30_000, "taskiq": 4_000, "dramatiq": 4_000}
"""Tasks that tell each one's own rate: one to three seconds of work."""


def _percentiles(waited: list[tuple[int, int]]) -> Figures:
    """Return milliseconds."""
    ordered = sorted(nanoseconds / 1e6 for _, nanoseconds in waited)
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[len(ordered) * 99 // 100]}


async def _noted(arrivals: Arrivals, count: int) -> list[tuple[int, int]]:
    noted = arrivals.new()
    for _ in deadline():
        if len(noted) >= count:
            break
        await asyncio.sleep(IDLE_SECONDS)
        noted += arrivals.new()
    return noted


async def _paced(system: System, tasks: int, seconds: float) -> list[tuple[int, int]]:
    """Add a task every so many seconds, also when the last one was slow, and return what each waited."""
    arrivals = Arrivals()
    arrivals.new()
    start = monotonic()
    for number in range(tasks):
        await asyncio.sleep(max(0.0, start + number * seconds - monotonic()))
        await system.add_stamped()
    return await _noted(arrivals, tasks)


def _idle(name: str) -> Figures:
    async def main() -> Figures:
        async with running(name) as system, workers(system):
            await _paced(system, WARM_UP, IDLE_SECONDS)
            return _percentiles(await _paced(system, IDLE_TASKS, IDLE_SECONDS))

    return uvloop.run(main())


def midas() -> Figures:
    """Ours, a task every 20 ms."""
    return _idle("midas")


def taskiq() -> Figures:
    """taskiq, a task every 20 ms."""
    return _idle("taskiq")


def dramatiq() -> Figures:
    """dramatiq, a task every 20 ms; its idle consumer asks again after a pause that grows."""
    return _idle("dramatiq")


def streaq() -> Figures:
    """streaq, a task every 20 ms."""
    return _idle("streaq")


async def _under_load(system: System, rate: float) -> Figures:
    """Add at this rate, in ticks of at least a millisecond, and return what the tasks waited."""
    arrivals = Arrivals()
    arrivals.new()
    start = monotonic()
    added = 0
    while (passed := monotonic() - start) < LOADED_SECONDS:
        due = int(passed * rate) - added
        if due:
            await system.add_many_stamped(due)
            added += due
        await asyncio.sleep(TICK_SECONDS)
    return _percentiles((await _noted(arrivals, added))[added // 10 :])


def _at_own_rate(name: str) -> tuple[float, Figures]:
    """Return the tasks a second that it does of a backlog, and what tasks wait at 70 % of that."""

    async def main() -> tuple[float, Figures]:
        async with running(name) as system:
            await fill(system, BACKLOG[name])
            async with workers(system):
                rate = await rate_of_backlog(system, BACKLOG[name])
                return rate, await _under_load(system, LOAD * rate)

    return uvloop.run(main())


def _at_rate(name: str, rate: float) -> Figures:
    async def main() -> Figures:
        async with running(name) as system, workers(system):
            await _paced(system, WARM_UP, IDLE_SECONDS)
            return await _under_load(system, rate)

    return uvloop.run(main())


def loaded() -> Figures:
    """Each at 70 % of its own rate, then all at 70 % of the slowest one's, each in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh:
        own = {name: fresh.submit(_at_own_rate, name).result() for name in BACKLOG}
        slowest = min(rate for rate, _ in own.values())
        common = {name: fresh.submit(_at_rate, name, LOAD * slowest).result() for name in BACKLOG}
    return {
        f"{name}_{load}_{percentile}": figure
        for load, found in (
            ("own", {name: figures for name, (_, figures) in own.items()}),
            ("common", common),
        )
        for name, figures in found.items()
        for percentile, figure in figures.items()
    }
