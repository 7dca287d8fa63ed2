"""Nobody polls: workers are woken by tasks, and waiters by results."""

from __future__ import annotations

import asyncio
import time

import pytest

from midas.errors import TaskTimeout, TaskUnknown
from midas.queue import AITaskQueue
from midas.redis import Script, connect


async def until(condition, seconds=60.0):
    """Wait until an async condition holds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.005)


async def blocked_clients(redis):
    return (await redis.info("clients"))["blocked_clients"]


@pytest.fixture(name="looks_seldom")
def _looks_seldom(monkeypatch):
    """Have workers that wait look again as late as a reply may take: being woken is much sooner."""
    monkeypatch.setattr("midas.queue.deliveries._WAIT_SLICE_SECONDS", 4.5)


async def test_a_waiting_worker_is_woken_by_a_task(live_queue, redis, looks_seldom):
    """A task put in while a worker waits reaches it long before the worker would have looked again."""
    waiting = asyncio.create_task(live_queue.dequeue_task("w", wait_seconds=30))
    await until(lambda: _is(blocked_clients(redis), 1))
    began = time.monotonic()
    task_id = await live_queue.enqueue_task("t", {})
    assert (await waiting).id == task_id
    assert time.monotonic() - began < 3.0


async def test_a_burst_wakes_all_waiting_workers(live_queue, redis, looks_seldom):
    """Five workers that wait get five tasks put in at once, one each."""
    waiting = [asyncio.create_task(live_queue.dequeue_task(f"w{n}", wait_seconds=30)) for n in range(5)]
    await until(lambda: _is(blocked_clients(redis), 5))
    began = time.monotonic()
    ids = {await live_queue.enqueue_task("t", {}) for _ in range(5)}
    assert {(await worker).id for worker in waiting} == ids
    assert time.monotonic() - began < 3.0


async def test_a_worker_that_waits_in_vain_comes_back(live_queue):
    """dequeue_task gives None after wait_seconds, and at once when it is not to wait."""
    assert await live_queue.dequeue_task("w") is None
    began = time.monotonic()
    assert await live_queue.dequeue_task("w", wait_seconds=0.2) is None
    assert 0.2 <= time.monotonic() - began < 20.0


async def test_a_waiter_is_woken_by_the_result(live_queue, redis):
    """get_result returns when the result comes, having looked once before and once after."""
    for script in ("look", "finish"):  # one that the server does not know is called twice
        await redis.script_load(Script("midas.queue", script).text)
    task_id = await live_queue.enqueue_task("t", {}, timeout=300)
    task = await live_queue.dequeue_task("w")
    waiting = asyncio.create_task(live_queue.get_result(task_id, timeout=300))
    await until(lambda: _is(_subscribers(redis), 1))
    before = await _evalsha_calls(redis)
    began = time.monotonic()
    await live_queue.store_result(task, {"n": 1})
    assert await waiting == {"n": 1}
    assert time.monotonic() - began < 60.0
    assert await _evalsha_calls(redis) - before <= 3  # looked, ended, looked


async def test_many_waiters_share_one_subscription(live_queue, redis_url):
    """A thousand waiters in one process need one connection more, and all get their own result."""
    ids = [await live_queue.enqueue_task("t", {"n": n}, max_wait=300) for n in range(1000)]
    waiting = [asyncio.create_task(live_queue.get_result(task_id, timeout=300)) for task_id in ids]
    async with connect(redis_url) as beside:  # a thousand stand in line for the queue's connections
        await until(lambda: _is(_subscribers(beside), 1))
        for _ in ids:
            task = await live_queue.dequeue_task("w")
            await live_queue.store_result(task, {"n": task.payload["n"]})
        assert [result["n"] for result in await asyncio.gather(*waiting)] == list(range(1000))
        assert await _subscribers(beside) == 1


async def test_no_result_is_missed_between_looking_and_waiting(live_queue):
    """Results that come at every moment around the start of the wait are all delivered at once."""

    async def ends_soon(turns):
        task = await live_queue.dequeue_task("w")
        for _ in range(turns):
            await asyncio.sleep(0)
        await live_queue.store_result(task, {"turns": turns})

    began = time.monotonic()
    for turns in range(60):
        task_id = await live_queue.enqueue_task("t", {}, timeout=300)
        result, _ = await asyncio.gather(live_queue.get_result(task_id, timeout=300), ends_soon(turns))
        assert result == {"turns": turns}
    assert time.monotonic() - began < 120.0  # who misses his looks again after 300 s


async def test_a_waiter_learns_that_the_time_is_over_without_any_worker(live_queue):
    """Nobody says that a task timed out when no worker is left; the waiter looks when its time is over."""
    task_id = await live_queue.enqueue_task("t", {}, timeout=0.3)
    began = time.monotonic()
    with pytest.raises(TaskTimeout, match="waited longer than 0.3 s"):
        await live_queue.get_result(task_id, timeout=30)
    assert time.monotonic() - began < 15.0


async def test_a_waiter_who_gives_up_is_told_where_the_task_is(live_queue):
    """When the caller's own time is over, the error says so; the task itself goes on."""
    task_id = await live_queue.enqueue_task("t", {})
    with pytest.raises(TaskTimeout, match=r"it is PENDING after 0.1 s"):
        await live_queue.get_result(task_id, timeout=0.1)
    task = await live_queue.dequeue_task("w")
    with pytest.raises(TaskTimeout, match="it is PROCESSING after 0 s"):
        await live_queue.get_result(task_id, timeout=0)
    await live_queue.store_result(task, {})
    assert await live_queue.get_result(task_id) == {}


async def test_waiting_for_an_unknown_task_ends_at_once(live_queue):
    """Nobody waits for a task that does not exist."""
    began = time.monotonic()
    with pytest.raises(TaskUnknown):
        await live_queue.get_result("never-seen", timeout=30)
    assert time.monotonic() - began < 15.0


async def test_a_result_reaches_waiters_in_other_processes(live_queue, redis_url):
    """The process that waits need not be the one that runs the task: here, another client and queue object."""
    async with connect(redis_url) as other_client, AITaskQueue(other_client) as other:
        task_id = await other.enqueue_task("t", {})
        waiting = asyncio.create_task(other.get_result(task_id, timeout=30))
        await live_queue.store_result(await live_queue.dequeue_task("w"), {"n": 1})
        assert await waiting == {"n": 1}


async def test_a_severed_subscription_is_made_anew(live_queue, redis):
    """When the server cuts the subscription, waiters are woken by the next one and miss nothing."""
    task_id = await live_queue.enqueue_task("t", {}, timeout=300)
    task = await live_queue.dequeue_task("w")
    waiting = asyncio.create_task(live_queue.get_result(task_id, timeout=300))
    await until(lambda: _is(_subscribers(redis), 1))
    assert await redis.client_kill_filter(_type="pubsub") == 1
    await live_queue.store_result(task, {"n": 1})
    assert await asyncio.wait_for(waiting, 60) == {"n": 1}


async def _is(value, expected):
    return await value == expected


async def _subscribers(redis):
    [(_, number)] = await redis.pubsub_numsub("{q:ai}:finished_ids")
    return number


async def _evalsha_calls(redis):
    return (await redis.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})["calls"]
