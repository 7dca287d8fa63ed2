"""What one process has to do every few seconds is done, by one at a time, through outages and errors."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from midas.demo.servers import RedisServer
from midas.errors import StatementError
from midas.queue import AITaskQueue
from midas.redis import Availability, connect
from midas.redis.cancellation import end
from midas.redis.duties import Duty, perform


@asynccontextmanager
async def performed(*performances):
    """Perform duties for the time of the block."""
    tasks = [asyncio.create_task(performance) for performance in performances]
    try:
        yield
    finally:
        await end(*tasks)


async def test_a_duty_is_done_by_one_process_at_a_time(redis, queue, telemetry, until):
    """Four performers of one duty do it again and again, and never two at once."""
    doing, most, times = 0, 0, 0

    async def work():
        nonlocal doing, most, times
        doing += 1
        most, times = max(most, doing), times + 1
        await asyncio.sleep(0)
        await redis.ping()
        doing -= 1

    duty = Duty("work", 0.01, queue.keys.lease("work"), work)
    async with performed(*(perform(duty, redis, queue.availability, telemetry) for _ in range(4))):
        await until(lambda: times >= 30)
    assert most == 1


async def test_a_duty_is_done_though_there_is_no_memory_for_a_lease(tmp_path, telemetry, until):
    """A Redis that is full refuses the lease; what empties it is done nevertheless."""
    done = asyncio.Event()

    async def work():
        done.set()

    with RedisServer(tmp_path / "redis") as server:
        async with connect(server.url) as client:
            await client.config_set("maxmemory", 1)
            availability = Availability(client, telemetry)
            async with performed(perform(Duty("work", 0.01, "lease", work), client, availability, telemetry)):
                await asyncio.wait_for(done.wait(), 60)


async def test_a_held_lease_keeps_others_away(redis, queue, telemetry, until, metric):
    """While another process holds the lease, the duty is not done here; when it lapses, it is."""
    done = []
    lease = queue.keys.lease("work")

    async def work():
        done.append(True)

    await redis.set(lease, "another process", px=300)
    async with performed(perform(Duty("work", 0.02, lease, work), redis, queue.availability, telemetry)):
        await until(lambda: metric("redis_operations_total", operation="worker.lease") >= 2)
        assert not done or await redis.get(lease) != b"another process"
        await until(lambda: done)


@pytest.mark.parametrize("error", [ValueError("broken"), StatementError("a.csv", 3, "no amount")])
async def test_an_error_does_not_end_a_duty(redis, queue, telemetry, until, log, error):  # noqa: PLR0917
    """A duty that raises is logged, returns its lease, and is done again."""
    times = 0

    async def work():
        nonlocal times
        times += 1
        raise error

    duty = Duty("work", 0.01, queue.keys.lease("work"), work)
    async with performed(perform(duty, redis, queue.availability, telemetry)):
        await until(lambda: times >= 3)
    await until(lambda: log.events("worker.duty_failed"))


async def test_a_duty_goes_on_after_an_outage(tmp_path, telemetry, until, log):
    """Redis goes away and comes back: the duty is done again, and the log says so twice."""
    times = 0

    async def work():
        nonlocal times
        times += 1

    with RedisServer(tmp_path / "redis", appendfsync="always") as server:
        async with connect(server.url) as client, AITaskQueue(client, telemetry=telemetry) as queue:
            duty = Duty("work", 0.02, queue.keys.lease("work"), work)
            async with performed(perform(duty, client, queue.availability, telemetry)):
                await until(lambda: times >= 2)
                await asyncio.to_thread(server.kill)
                await until(lambda: log.events("redis.lost"))
                before = times
                await asyncio.to_thread(server.start)
                await until(lambda: times >= before + 2)
    await until(lambda: log.events("redis.found"))
    assert len(log.events("redis.lost")) == 1
