"""A task queue as the cases see it: somebody adds, worker processes of its own kind work, and so much is left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Self

import redis.asyncio as redis

from midas.demo.processes import Child, spawn
from midas.demo.servers import RedisServer

URL = "QUEUE_URL"
"""Variable that tells a worker where the Redis of this case is."""

PAYLOAD = {"user_id": 7}
WAIT_SECONDS = 60.0


class System(ABC):
    """One library, used as its documentation says.

    A task is either `noop(user_id)`, which returns 1, or `stamped(added_ns)`, which first of all tells how long ago
    that was, and returns 1. Results are stored. Nobody writes a log line for a task that went well.
    """

    worker: tuple[str, ...]
    """The command of one worker process, in the folder of the benchmarks."""

    stops_when_ready = False
    """Whether it sends itself SIGSTOP before its first task, so that several can begin at once."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        return None

    @abstractmethod
    async def add(self) -> None:
        """Add one no-op task, with the call that its documentation shows first."""

    @abstractmethod
    async def add_stamped(self) -> None:
        """Add one task that carries the time of this call."""

    async def add_many(self, count: int) -> None:
        """Add `count` no-op tasks with the library's own call for many, or else one by one."""
        for _ in range(count):
            await self.add()

    async def add_many_stamped(self, count: int) -> None:
        """Add `count` tasks that carry the time of this call, as fast as the library does it."""
        for _ in range(count):
            await self.add_stamped()

    @abstractmethod
    async def left(self) -> int:
        """Return how many tasks were added and are not finished, at a cost that does not depend on it."""


def program(name: str) -> str:
    """Return the path of a program of this virtual environment."""
    return str(Path(sys.executable).with_name(name))


@asynccontextmanager
async def running(name: str) -> AsyncIterator[System]:
    """Give the system in `queues/<name>.py`, on a Redis of its own that keeps nothing on disk.

    Each case has a fresh one, of the same program with the same settings: what a peer leaves behind (taskiq never
    removes from its stream) slows nobody else.
    """
    with TemporaryDirectory() as folder, RedisServer(Path(folder) / "redis") as server:
        os.environ[URL] = server.url
        os.environ["ARRIVALS"] = str(Path(folder) / "arrivals")
        async with redis.Redis.from_url(server.url) as client:
            await client.config_set("appendonly", "no")
            async with import_module(f"queues.{name}").Queue(client) as system:
                yield system


@asynccontextmanager
async def workers(system: System, processes: int = 1) -> AsyncIterator[list[Child]]:
    """Run so many worker processes, and end them."""
    started: list[Child] = []
    with TemporaryDirectory() as folder:
        output = Path(folder) / "output.log"
        try:
            for _ in range(processes):
                worker = spawn("worker", system.worker, output=output, folder=Path(__file__).parents[1])
                started.append(worker)
            if system.stops_when_ready:
                await _until_stopped(started)
                for child in started:
                    child.send(signal.SIGCONT)
            yield started
        except BaseException:
            print(output.read_text()[-3000:], file=sys.stderr)
            raise
        finally:
            for child in started:
                child.ask_to_stop()
            for child in started:
                child.stop(5.0)


async def _until_stopped(processes: list[Child]) -> None:
    for _ in deadline():
        if all(_is_stopped(child.pid) for child in processes):
            break
        await asyncio.sleep(0.01)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def deadline(seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Iterate until `seconds` have passed, then fail."""
    end = monotonic() + seconds
    while monotonic() < end:
        yield
    raise TimeoutError(f"nothing after {seconds} s")
