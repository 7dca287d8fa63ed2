"""Limits of a type hold for all workers together, hold up nobody else, and never keep a task for good."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest

from midas.queue import Limit, NewTask, TaskPriority, TaskStatus, Worker
from midas.queue.streams.reader import Reader

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
    await _run_due(queue, handlers, clock)
    assert len(begun) == 10
    for milliseconds in (100, 200, 300):
        clock.advance(0.1)
        await _run_due(queue, handlers, clock)
        assert abs(len(begun) - (10 + 0.6 * milliseconds)) <= 1
    clock.advance(10)  # nobody was there: what nobody could start is not made good at once
    await _run_due(queue, handlers, clock)
    assert len(begun) <= 190 + 61
    while len(begun) < 400:
        clock.advance(0.05)
        await _run_due(queue, handlers, clock)
    assert sorted(begun) == list(range(400))
    assert (await check_drained(queue)).hashes["pace"].keys() == {"mail"}


async def test_a_rate_is_reached(make_queue):
    """By the server's clock tasks of a limited type begin as often as they may, and not more often."""
    queue = await make_queue(limits={"mail": Limit(per_second=200.0)})
    begun = []
    await queue.add_tasks([NewTask("mail") for _ in range(200)])
    came = time.monotonic()  # before the first: that one may be seen late, and the last not too early
    await run_all(queue, {"mail": lambda payload: begun.append(time.monotonic())})
    assert 199 / 200 * 0.95 <= begun[-1] - came < 10
    await check_drained(queue)


@pytest.mark.parametrize("limit", [Limit(concurrency=1), Limit(per_second=10), Limit(1, 10)], ids=str)
async def test_the_urgent_ones_of_a_limited_type_go_first(make_queue, clock, limit):
    """A CRITICAL task behind a hundred LOW ones that were parked is the next to run, and those keep their order."""
    queue = await make_queue(clock, limits={"t": limit})
    order = []
    await queue.add_tasks([NewTask("t", {"n": n}, TaskPriority.LOW) for n in range(100)])
    async with aclosing(queue.consume_tasks("w", ahead=50)) as tasks:
        while len(order) < 7:
            message_id, task = await anext(tasks)
            order.append((task.priority.name, task.payload["n"]))
            if len(order) == 3:
                await until(lambda: _parked(queue, 97))
                await queue.add_task("t", {"n": 100}, TaskPriority.HIGH)
                await queue.add_task("t", {"n": 101}, TaskPriority.CRITICAL)
                if len(order) == 3 and limit.per_second:
                    async with _reader(queue) as other:
                        assert await other.take(5) == []
                # Without a rate they are seen when the place is free, and get it: the one that had been let go for that
                # is parked again, where it was.
            await queue.complete_task(message_id)
            clock.advance(0.1)
    low = [("LOW", n) for n in range(5)]
    assert order == [*low[:3], ("CRITICAL", 101), ("HIGH", 100), *low[3:]]
    await queue.redis.flushall()


async def test_a_line_that_no_rate_holds_back_any_more_goes_on(make_queue, clock):
    """Tasks that waited for their moment are let go when no worker knows the rate any more."""
    queue = await make_queue(clock, limits={"t": Limit(per_second=1)})
    await queue.add_tasks([NewTask("t", {"n": n}) for n in range(300)])
    async with aclosing(queue.consume_tasks("w", ahead=300)) as tasks:
        await anext(tasks)
        assert await _parked(queue, 299)
    unlimited = await make_queue(clock)
    done = []
    clock.advance(60)
    async with at_work(Worker(unlimited, {"t": lambda payload: done.append(payload["n"])})):
        for _ in range(3):
            await unlimited.recover()
        await until(lambda: _ended(unlimited, 300))
    assert sorted(done) == list(range(300))
    await check_drained(unlimited)


@pytest.mark.parametrize("per_second", [50.0, 5_000.0])
async def test_a_rate_that_is_raised_holds_at_once(make_queue, clock, per_second):
    """After one an hour the next is not an hour away, for a clock that was set back neither; the new rate is kept."""
    slow = await make_queue(clock, limits={"mail": Limit(per_second=1 / 3600)})
    begun = []
    handlers = {"mail": lambda payload: begun.append(payload["n"])}
    await slow.add_tasks([NewTask("mail", {"n": n}) for n in range(1_000)])
    await _run_due(slow, handlers, clock)
    assert len(begun) == 1
    fast = await make_queue(clock, limits={"mail": Limit(per_second=per_second)})
    clock.advance(-1_000)

    async def is_near():
        return float(await fast.redis.hget(f"{fast.keys.tag}pace", "mail")) <= clock() * 1000 + 100

    async with at_work(Worker(fast, handlers)):
        await until(is_near)
    for _ in range(5):
        clock.advance(0.02)
        await _run_due(fast, handlers, clock)
    assert abs(len(begun) - 0.1 * per_second) <= 3


async def test_a_task_that_got_its_moment_can_be_cancelled(make_queue, clock):
    """Of a task that was let go at its moment, and cancelled before anybody took it, nothing is left."""
    queue = await make_queue(clock, limits={"t": Limit(per_second=10)})
    ids = await queue.add_tasks([NewTask("t") for _ in range(3)])
    async with aclosing(queue.consume_tasks("w", ahead=5)) as tasks:
        message_id, _ = await anext(tasks)
        await queue.complete_task(message_id)
    clock.advance(0.1)
    async with _reader(queue) as reader:
        assert await reader.take(0, 0) == []  # lets one go, and has no place for it
    assert (await queue.statistics()).ready == 1
    for task_id in ids[1:]:
        assert await queue.cancel(task_id)
    await check_drained(queue)


async def test_a_parked_task_remembers_since_when_it_waits(make_queue):
    """Time in the parking place counts for a task's expiry as time in line does."""
    queue = await make_queue(limits=ONE)
    release = asyncio.Event()
    first, second = await queue.add_tasks([NewTask("ocr"), NewTask("ocr", expires=3)])
    async with at_work(Worker(queue, {"ocr": lambda payload: _wait(release)})):
        await until(lambda: _parked(queue, 1))
        entered = (await queue.redis.time())[0]
        await until(lambda: _has_passed(queue, entered + 3))
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


def _reader(queue):
    return Reader(queue, "r", on_taken_away=print, on_cancelled=print)


async def _run_due(queue, handlers, clock):
    """Run what may run by now, and leave what has to wait for its moment."""

    async def is_idle():
        moment = float(await queue.redis.hget(f"{queue.keys.tag}pace", "mail") or 0)
        now = await queue.statistics()
        return now.ready == now.in_flight == 0 and (now.parked == 0 or moment > clock() * 1000 + 0.5)

    async with at_work(Worker(queue, handlers)):
        await until(is_idle)


async def _has_passed(queue, second):
    return (await queue.redis.time())[0] > second


async def _ended(queue, count):
    return (await snapshot(queue)).ends() == count
