"""A queue behind Sentinel goes on after its master died, with every task that the replica had."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import redis

from midas.demo.ports import free_port
from midas.errors import QueueUnavailable
from midas.queue import Durability, NotDurable, TaskQueue, TaskQueueConfig, Worker
from midas.redis.sentinel import SentinelAddress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE_SECONDS = 120.0


class Watched:
    """A master, its replica and a Sentinel, each a real process."""

    def __init__(self, folder: Path) -> None:
        ports: set[int] = set()
        while len(ports) < 3:
            ports.add(free_port())
        self.master, self.replica, self.sentinel = ports
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.url = f"redis+sentinel://127.0.0.1:{self.sentinel}/midas/0"

    def start(self) -> None:
        """Start all three, and wait until the Sentinel knows the replica."""
        self._start(self.master)
        self._start(self.replica, "--replicaof", "127.0.0.1", str(self.master))
        _until(lambda: _client(self.replica).info("replication")["master_link_status"] == "up")
        configuration = self._folder / "sentinel.conf"
        configuration.write_text(
            f"port {self.sentinel}\n"
            f"sentinel monitor midas 127.0.0.1 {self.master} 1\n"
            "sentinel down-after-milliseconds midas 3000\n"  # a master that only is slow must not be replaced
            "sentinel failover-timeout midas 10000\n"
        )
        self._start(self.sentinel, file=str(configuration), sentinel=True)
        _until(lambda: _client(self.sentinel).execute_command("SENTINEL", "REPLICAS", "midas"))

    def kill_master(self) -> None:
        """End the master as a crash does."""
        self._processes[self.master].send_signal(signal.SIGKILL)
        self._processes[self.master].wait()

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _start(self, port: int, *options: str, file: str = "", sentinel: bool = False) -> None:
        folder = self._folder / str(port)
        folder.mkdir()
        command = ["redis-server", *([file] if file else ["--port", str(port), "--save", ""]), *options]
        command += ["--sentinel"] if sentinel else ["--dir", str(folder)]
        self._processes[port] = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _until(lambda: _client(port).ping())


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    servers = Watched(tmp_path)
    try:
        servers.start()
        yield servers
    finally:
        servers.close()


async def test_a_failover_loses_nothing_that_the_replica_had(watched):
    """Tasks that waited for a replica are all done after their master was killed in the middle of the work."""
    config = TaskQueueConfig(
        watched.url, lease_seconds=2.0, retry_seconds=0.05, durability=Durability(replicas=1, timeout=5.0)
    )
    done: set[int] = set()

    async def work(payload):
        await asyncio.sleep(0.01)
        done.add(payload["number"])
        return payload["number"]

    async with TaskQueue(config) as queue:
        worker = Worker(queue, {"work": work}, concurrency=10)
        running = asyncio.create_task(worker.run())
        confirmed = [await _added(queue, number) for number in range(60)]
        watched.kill_master()
        # Together, as each waits in vain for a replica.
        confirmed += await asyncio.gather(*(_added(queue, number) for number in range(60, 90)))
        results = [await queue.get_result(task_id, timeout=DEADLINE_SECONDS) for task_id in confirmed]
        worker.stop()
        await running
    assert results == list(range(90))
    assert done == set(range(90))


@pytest.mark.parametrize("url", ["redis+sentinel://", "redis+sentinel://host:1", "redis+sentinel:///midas"])
def test_an_address_that_names_nobody_is_refused(url):
    """An address without watchers or service says how it should look."""
    with pytest.raises(ValueError, match="redis\\+sentinel://host:port,host:port/service/database"):
        SentinelAddress.parse(url)


def test_an_address_may_have_everything():
    """Several watchers, one with its usual port, a login with signs in it, a database."""
    address = SentinelAddress.parse("redis+sentinel://me:p%40ss@one:1,two/midas/3")
    assert address.watchers == (("one", 1), ("two", 26_379))
    assert (address.service, address.login) == ("midas", {"username": "me", "password": "p@ss", "db": 3})


async def _added(queue: TaskQueue, number: int) -> str:
    """Add a task until a master and its replica have it, or the master that is left; the id makes it one task."""
    task_id = f"task-{number}"
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        try:
            return await queue.add_task("work", {"number": number}, task_id=task_id)
        except NotDurable:
            return task_id  # after the failover there is no replica any more
        except QueueUnavailable:
            await asyncio.sleep(0.05)
    raise TimeoutError(task_id)


def _client(port: int) -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=port, socket_timeout=2.0, decode_responses=True)


def _until(condition) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        time.sleep(0.02)
    raise TimeoutError
