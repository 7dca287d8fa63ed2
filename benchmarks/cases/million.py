"""What a million tasks leave behind: in Redis, when their results have expired, and in the worker."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from time import monotonic

import uvloop
from queues.system import System, deadline, running, workers
from redis.exceptions import ResponseError

WARM_UP = 10_000
FIRST = 100_000
TASKS = 1_000_000
A_CALL = 500
MOST_WAITING = 10_000
SETTLE_SECONDS = 60.0
KNOWN_SECONDS = 12.0
"""After 10 s a repeated call is not recognised any more, and within these a reader has renewed its lease and swept:
Redis keeps the text of every script, 20 KB each, from its first call on."""


async def _through(system: System, tasks: int) -> None:
    """Let so many tasks be done, never more than a few thousand waiting."""
    for added in range(0, tasks, A_CALL):
        if added % (10 * A_CALL) == 0:
            await _until_left(system, MOST_WAITING)
        await system.add_many(A_CALL)
    await _until_left(system, 0)


async def _until_left(system: System, most: int) -> None:
    for _ in deadline():
        if await system.left() <= most:
            break
        await asyncio.sleep(0.01)


async def _forget_diagnostics(system: System) -> None:
    """Have Redis keep nothing about commands: half a megabyte of slow ones, and 30 KB for each that it knows."""
    await system.client.config_set("slowlog-max-len", 0)
    with suppress(ResponseError):  # before Redis 7 it keeps no latencies
        await system.client.config_set("latency-tracking", "no")


async def _settled(system: System, keys: int) -> int:
    """Return the bytes that Redis uses once only so many keys are left and its tables have shrunk.

    Without the buffers of connections: 22 KB for each, which on an empty server is 2 %.
    """
    for _ in deadline(SETTLE_SECONDS):
        if await system.client.dbsize() <= keys:
            break
        await asyncio.sleep(0.1)
    least = await _used(system)
    end = monotonic() + KNOWN_SECONDS
    while monotonic() < end:
        await asyncio.sleep(0.5)
        least = min(least, await _used(system))
    return least


async def _used(system: System) -> int:
    memory = await system.client.info("memory")
    return memory["used_memory"] - memory["mem_clients_normal"]


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def midas() -> dict[str, float]:
    """Growth of Redis from before the first to after the last task, and of the worker after 100,000, in %."""
    os.environ["RESULT_SECONDS"] = "1"

    async def main() -> dict[str, float]:
        async with running("midas") as system, workers(system) as (worker,):
            await _forget_diagnostics(system)
            await _through(system, WARM_UP)
            await asyncio.sleep(KNOWN_SECONDS)  # the results of these expire, too
            keys = await system.client.dbsize()
            before = await _settled(system, keys)
            await _through(system, FIRST)
            resident = _resident(worker.pid)
            await _through(system, TASKS - FIRST)
            grown = _resident(worker.pid) - resident
            after = await _settled(system, keys)
            return {"redis": 100 * abs(after / before - 1), "worker": 100 * grown / resident}

    return uvloop.run(main())
