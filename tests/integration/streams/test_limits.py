"""Limits of a type hold for all workers together, hold up nobody else, and never keep a task for good."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from midas.queue import Limit, NewTask, TaskStatus, Worker

from .ground import at_work, check_drained, run_all, snapshot, until

ONE = {"ocr": Limit(concurrency=1)}


async def test_no_more_run_at_a_time_than_may(make_queue):
    """Two workers run at most three of a type at once, in order, while other types pass by."""
    queues = [await make_queue(limits={"ocr": Limit(concurrency=3)}) for _ in range(2)]
    running, most, begun = 0, 0, []

    async def ocr(payload):
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        begun.append(payload["n"])
        await asyncio.sleep(0.002)
        running -= 1

    await queues[0].add_tasks([NewTask("ocr", {"n": n}) for n in range(60)] + [NewTask("other")] * 60)
    handlers = {"ocr": ocr, "other": lambda payload: None}
    async with at_work(*(Worker(queue, handlers, concurrency=20) for queue in queues)):
        await until(lambda: _ended(queues[0], 120))
    assert most == 3
    assert sorted(begun) == list(range(60))
    await check_drained(queues[0])


async def test_a_rate_is_kept_to_the_millisecond(make_queue, clock):
    """With 600 a second and a burst of ten, as many begin as the clock allows, none is lost and none runs twice."""
    queue = await make_queue(clock, limits={"mail": Limit(per_second=600.0, burst=10)})
    begun = []
    await queue.add_tasks([NewTask("mail", {"n": n}) for n in range(400)])
    handlers = {"mail": lambda payload: begun.append(payload["n"])}
    await run_all(queue, handlers)
    assert len(begun) == 10
    for milliseconds in (100, 200, 300):
        clock.advance(0.1)
        await run_all(queue, handlers)
        assert abs(len(begun) - (10 + 0.6 * milliseconds)) <= 1
    clock.advance(10)
    await run_all(queue, handlers)
    assert sorted(begun) == list(range(400))
    assert (await check_drained(queue)).hashes["pace"].keys() == {"mail"}


async def test_a_parked_task_remembers_since_when_it_waits(make_queue):
    """Time in the parking place counts for a task's expiry as time in line does."""
    queue = await make_queue(limits=ONE)
    release = asyncio.Event()
    first, second = await queue.add_tasks([NewTask("ocr"), NewTask("ocr", expires=0.05)])
    async with at_work(Worker(queue, {"ocr": lambda payload: _wait(release)})):
        await until(lambda: _parked(queue, 1))
        entered = (await queue.redis.time())[0]
        await until(lambda: _has_passed(queue, entered))
        release.set()
        await until(lambda: _ended(queue, 2))
    assert await queue.get_task_status(first) is TaskStatus.COMPLETED
    assert await queue.get_task_status(second) is TaskStatus.TIMEOUT
    await check_drained(queue)


async def test_the_place_of_a_dead_worker_is_free_again(make_queue, clock):
    """A place whose holder died is given on, even if whoever finds that out knows of no limits."""
    queue = await make_queue(clock, lease_seconds=10.0, limits=ONE)
    stranger = await make_queue(clock, lease_seconds=10.0)
    await queue.add_tasks([NewTask("ocr", {"n": n}) for n in range(3)])
    consumed = queue.consume_tasks("w", ahead=5)
    await anext(consumed)
    assert await _parked(queue, 2)
    clock.advance(11)
    assert await stranger.recover() == 1
    await run_all(queue, {"ocr": lambda payload: None})
    await consumed.aclose()
    await check_drained(queue)


async def test_nothing_stays_parked_when_a_limit_is_taken_back(make_queue, clock):
    """Tasks that were parked under a limit that no worker knows any more are let go by the sweeper."""
    queue = await make_queue(clock, lease_seconds=10.0, limits=ONE)
    await queue.add_tasks([NewTask("ocr", {"n": n}) for n in range(5)])
    consumed = queue.consume_tasks("w", ahead=10)
    await anext(consumed)
    await consumed.aclose()
    unlimited = await make_queue(clock, lease_seconds=10.0)
    done = []
    async with at_work(Worker(unlimited, {"ocr": lambda payload: done.append(payload["n"])})):
        for _ in range(5):
            await unlimited.recover()
        await until(lambda: _ended(unlimited, 5))
    assert sorted(done) == list(range(5))
    await check_drained(unlimited)


async def test_a_place_that_nobody_holds_is_found(make_queue, clock):
    """A busy mark whose task is nowhere, its stream having been trimmed by hand, does not block its type for ever."""
    queue = await make_queue(clock, limits=ONE)
    await queue.redis.zadd(f"{queue.keys.tag}busy", {"ocr\0nobody": 0})
    task_id = await queue.add_task("ocr")
    async with at_work(Worker(queue, {"ocr": lambda payload: 1})):
        await until(lambda: _parked(queue, 1))
        await queue.recover()
        assert await queue.get_result(task_id, 20) == 1
    await check_drained(queue)


async def test_tasks_with_one_chance_left_run_one_at_a_time(make_queue, clock):
    """Of tasks whose next death is the last a reader has one at a time, and the next as soon as that has ended."""
    queue, other = [await make_queue(clock, lease_seconds=1_000.0, max_deliveries=2) for _ in range(2)]
    ids = await queue.add_tasks([NewTask("t", {"n": n}) for n in range(4)])
    async with aclosing(other.consume_tasks("w", ahead=5)) as tasks:
        await anext(tasks)
        clock.advance(1_001)
        assert await queue.recover() == 4
    running = most = 0

    async def handler(payload):
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0)
        running -= 1

    assert await queue.cancel(ids[3])
    async with at_work(Worker(queue, {"t": handler})):
        await until(lambda: _ended(queue, 4))
    assert most == 1
    await check_drained(queue)


async def _wait(event):
    await event.wait()


async def _parked(queue, count):
    return (await queue.statistics()).parked == count


async def _ended(queue, count):
    return (await snapshot(queue)).ends() == count


async def _has_passed(queue, second):
    return (await queue.redis.time())[0] > second
