"""Redis goes away and comes back, by crash or by standing still; no task is lost and no process dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from botmetry import LogSettings, Telemetry
from midas.demo.servers import RedisServer
from midas.errors import QueueUnavailable
from midas.queue import AITaskQueue, LeaseKeeper, TaskStatus
from midas.redis import connect, connect_from_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON_SECONDS = 8.0
"""A second or two on an idle machine, and less than the ten for which a worker repeats what it has to say."""
LONG = {"timeout": 600, "max_wait": 600}
"""Of tasks whose own time is not what a test is about."""


@pytest.fixture(name="patience_with_redis")
def _patience_with_redis():
    """Wait no longer than in production: that is what this is about."""


@pytest.fixture(name="server")
def _server(tmp_path) -> Iterator[RedisServer]:
    """Run a Redis of this test's own, which it may kill; it appends every change to a file."""
    with RedisServer(tmp_path / "redis", appendfsync="always") as server:
        yield server


@pytest.fixture(name="queue")
async def _queue(server, telemetry):
    async with connect(server.url) as client, AITaskQueue(client, telemetry=telemetry) as queue:
        yield queue


async def until(condition, seconds=60.0):
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_crash_of_redis_loses_nothing(server, queue):
    """After kill -9 and a restart, waiting tasks, running tasks and results are what they were, in order."""
    ids = [await queue.enqueue_task("t", {"n": n}, priority=n % 3) for n in range(300)]
    done, running = await queue.dequeue_task("w"), await queue.dequeue_task("w")
    await queue.store_result(done, {"n": done.payload["n"]})

    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)

    assert await queue.get_result(done.id) == {"n": done.payload["n"]}
    assert await queue.get_task_status(running.id) is TaskStatus.PROCESSING
    await queue.store_result(running, {})
    rest = [await queue.dequeue_task("w") for _ in range(298)]
    expected = [n for priority in (2, 1, 0) for n in range(300) if n % 3 == priority][2:]
    assert [task.payload["n"] for task in rest] == expected
    assert {task.id for task in rest} | {done.id, running.id} == set(ids)


async def test_an_enqueue_without_redis_fails_soon_and_clearly(server, queue):
    """The caller learns within bounded time, in one line without the password, that the queue is not there."""
    password = server.url.split(":")[2].split("@")[0]
    await asyncio.to_thread(server.kill)
    began = time.monotonic()
    with pytest.raises(QueueUnavailable) as refused:
        await queue.enqueue_task("t", {})
    assert time.monotonic() - began < SOON_SECONDS
    message = str(refused.value)
    assert message == (
        f"Redis at 127.0.0.1:{server.port}/0 is not available (Connection refused): start it or correct REDIS_URL"
    )
    assert password not in repr(refused.value)


async def test_an_enqueue_with_a_redis_that_stands_still_fails_soon(server, queue):
    """A Redis that accepts and does not answer is noticed, too; the repeated enqueue makes one task."""
    await queue.state()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(QueueUnavailable, match="no answer in time"):
            await queue.enqueue_task("t", {}, task_id="x")
        assert time.monotonic() - began < SOON_SECONDS
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await queue.enqueue_task("t", {}, task_id="x")
    assert (await queue.state()).ready == 1


async def test_a_wrong_password_is_said_and_not_shown(server, telemetry):
    """A refused password is one clear line that does not contain it."""
    wrong = server.url.replace("@", "oh-no@")
    async with connect(wrong) as client, AITaskQueue(client, telemetry=telemetry) as queue:
        with pytest.raises(QueueUnavailable, match="refuses the user or password in REDIS_URL") as refused:
            await queue.state()
    assert "oh-no" not in str(refused.value)


async def test_worker_and_waiter_sit_out_an_outage(server, queue, telemetry, metric):
    """Who waits for a task or a result while Redis is away for two seconds gets it when it is back."""
    earlier = await queue.enqueue_task("t", {}, **LONG)
    running = await queue.dequeue_task("w")
    waiter = asyncio.create_task(queue.get_result(earlier, timeout=120))
    worker = asyncio.create_task(queue.dequeue_task("w", wait_seconds=120))
    await asyncio.to_thread(server.kill)
    await until(lambda: metric("redis_connection_errors_total") >= 4)
    assert not worker.done()
    assert not waiter.done()

    await asyncio.to_thread(server.start)
    later = await _insist(queue.enqueue_task, "t", {})
    assert (await asyncio.wait_for(worker, 60)).id == later
    await queue.store_result(running, {"n": 1})
    assert await asyncio.wait_for(waiter, 60) == {"n": 1}


async def test_a_redis_that_refuses_writes_is_away(server, queue):
    """A Redis that answers but must not write, here for want of replicas, counts as away until it may again."""
    await queue.enqueue_task("t", {}, task_id="x")
    async with connect(server.url) as client:
        await client.config_set("min-replicas-to-write", 1)
        with pytest.raises(QueueUnavailable, match="NOREPLICAS"):
            await queue.enqueue_task("t", {})
        assert await queue.dequeue_task("w", wait_seconds=0.1) is None
        await client.config_set("min-replicas-to-write", 0)
    assert (await queue.dequeue_task("w")).id == "x"


async def test_waiting_for_a_result_can_begin_while_redis_is_away(server, queue):
    """get_result says that Redis is away when the caller's time is over, and gives the result if it returns before."""
    task_id = await queue.enqueue_task("t", {}, **LONG)
    task = await queue.dequeue_task("w")
    await asyncio.to_thread(server.kill)
    with pytest.raises(QueueUnavailable):
        await queue.get_result(task_id, timeout=0.3)
    waiter = asyncio.create_task(queue.get_result(task_id, timeout=120))
    await until(lambda: not queue.availability.is_there)
    await asyncio.to_thread(server.start)
    await queue.store_result(task, {"n": 1})
    assert await asyncio.wait_for(waiter, 60) == {"n": 1}


async def test_a_dead_subscription_is_noticed(server, queue, monkeypatch, metric):
    """A subscription over which nothing comes any more, not even a sign of life, is made anew."""
    monkeypatch.setattr("midas.redis.subscription._SILENCE_SECONDS", 1.0)
    task_id = await queue.enqueue_task("t", {}, **LONG)
    task = await queue.dequeue_task("w")
    waiter = asyncio.create_task(queue.get_result(task_id, timeout=120))
    async with connect(server.url) as client:
        # Through several silences with signs of life it is the same subscription.
        ids = set()
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            ids |= {client_["id"] for client_ in await client.client_list(_type="pubsub")}
        assert len(ids) == 1
    os.kill(server.pid, signal.SIGSTOP)
    try:
        await until(lambda: metric("redis_connection_errors_total") >= 1)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await queue.store_result(task, {"n": 1})
    assert await asyncio.wait_for(waiter, 60) == {"n": 1}


async def test_the_keeper_sits_out_an_outage(server, queue, metric):
    """Leases that lapsed while Redis was away are renewed before anybody takes the task, and it can be ended."""
    await queue.enqueue_task("t", {}, **LONG)
    task = await queue.dequeue_task("w")
    lost = []
    short = replace(task, lease_seconds=0.3)  # renews often; the lease in Redis stays 15 s
    with LeaseKeeper(connect_from_thread(server.url), queue.moves, queue.availability, lost.append) as keeper:
        keeper.hold(short)
        await asyncio.to_thread(server.kill)
        before = metric("redis_connection_errors_total")
        await until(lambda: metric("redis_connection_errors_total") >= before + 2)
        await asyncio.to_thread(server.start)
        await until(lambda: queue.availability.is_there)
        assert lost == []
        await queue.store_result(task, {})


async def test_an_outage_is_two_lines_of_log_and_many_counts(server, tmp_path):
    """Attempts are counted; logged are the loss and the return, not each attempt."""
    path = tmp_path / "log.jsonl"
    telemetry = Telemetry(service="queue-test", log=LogSettings(output=str(path)))
    async with connect(server.url) as client, AITaskQueue(client, telemetry=telemetry) as queue:
        await queue.state()
        await asyncio.to_thread(server.kill)
        for _ in range(12):
            with pytest.raises(QueueUnavailable):
                await queue.state()
        await asyncio.to_thread(server.start)
        await queue.state()
    telemetry.close()

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    changes = [line for line in lines if line["event"] in {"redis.lost", "redis.found"}]
    assert [line["event"] for line in changes] == ["redis.lost", "redis.found"]
    assert changes[1]["failed_attempts"] == 12
    assert len(lines) <= 3  # and the one operation that failed first
    exposed = telemetry.render().decode()
    assert "redis_connection_errors_total 12.0" in exposed


async def _insist(call, *arguments):
    """Repeat a call until Redis is there."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await call(*arguments)
            except QueueUnavailable:
                await asyncio.sleep(0.02)
