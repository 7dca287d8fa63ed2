"""The lease keeper gives signs of life for its worker, and for nobody longer than he has."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from midas.queue import AITaskQueue, LeaseKeeper
from midas.redis import connect_from_thread

LEASE_SECONDS = 2.0  # shorter ones lapse by themselves on a busy machine


@pytest.fixture(name="queue")
async def _queue(redis, telemetry):
    async with AITaskQueue(redis, telemetry=telemetry, lease_seconds=LEASE_SECONDS) as queue:
        yield queue


@pytest.fixture(name="lost")
def _lost():
    return []


@pytest.fixture(name="keeper")
def _keeper(queue, redis_url, lost):
    with LeaseKeeper(connect_from_thread(redis_url), queue.moves, queue.availability, lost.append) as keeper:
        yield keeper


async def test_a_blocked_loop_keeps_its_tasks(queue, keeper):
    """A handler that blocks the event loop for three leases still owns its task afterwards."""
    await queue.enqueue_task("t", {})
    task = await queue.dequeue_task("w")
    keeper.hold(task)
    time.sleep(3 * LEASE_SECONDS)  # noqa: ASYNC251 -- blocking the loop is what this is about
    assert await queue.recover() == 0
    await queue.store_result(task, {})


async def test_a_dropped_task_lapses(queue, keeper):
    """What the keeper does not hold any more is recovered as from a dead worker."""
    await queue.enqueue_task("t", {})
    task = await queue.dequeue_task("w")
    keeper.hold(task)
    keeper.drop(task)
    keeper.drop(task)
    async with asyncio.timeout(60):
        while await queue.recover() == 0:
            await asyncio.sleep(0.01)


async def test_a_steady_stream_of_new_tasks_does_not_starve_renewal(queue, keeper):
    """Tasks taken more often than leases are renewed do not keep the first one from being renewed."""
    await queue.enqueue_task("t", {}, task_id="first")
    first = await queue.dequeue_task("w")
    keeper.hold(first)
    end = time.monotonic() + 3 * LEASE_SECONDS
    while time.monotonic() < end:
        task_id = await queue.enqueue_task("t", {})
        task = await queue.dequeue_task("w")
        assert task.id == task_id
        keeper.hold(task)
        await queue.store_result(task, {})
        keeper.drop(task)
        assert await queue.recover() == 0
    await queue.store_result(first, {})


async def test_a_task_given_to_another_is_reported(queue, keeper, lost, redis):
    """The owner hears that its task is somebody else's, once."""
    await queue.enqueue_task("t", {})
    task = await queue.dequeue_task("w")
    await queue.give_back(task)
    keeper.hold(task)
    await _until(lambda: lost)
    assert lost == [task]


async def test_a_tasks_own_time_ends_its_lease(queue, keeper, lost):
    """The keeper cannot keep a task past its timeout: the owner hears it, and the task is TIMEOUT."""
    await queue.enqueue_task("t", {}, task_id="x", timeout=2.0, max_wait=60)
    task = await queue.dequeue_task("w")
    keeper.hold(task)
    await _until(lambda: lost)
    assert await queue.recover() == 0
    assert await queue.get_task_status("x") == "TIMEOUT"


def test_the_thread_ends_with_the_keeper(queue, redis_url):
    """Leaving the block ends the thread, holding tasks or not."""
    with LeaseKeeper(connect_from_thread(redis_url), queue.moves, queue.availability, print) as keeper:
        assert any(thread.name == "lease keeper" for thread in threading.enumerate())
        assert keeper is not None
    assert not any(thread.name == "lease keeper" for thread in threading.enumerate())


async def _until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)
