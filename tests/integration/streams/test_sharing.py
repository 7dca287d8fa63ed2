"""Who is served when, told by counting deliveries: urgent first, nobody shut out, what came back not behind the new."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from midas.queue import NewTask, Retry, TaskPriority, Worker

from .ground import at_work, check_drained, until


class _Log:
    """Notes in which place of the whole order each task was run."""

    def __init__(self) -> None:
        self.order = []

    async def __call__(self, task):
        self.order.append(task)


@pytest.mark.parametrize("concurrency", [1, 20])
async def test_every_priority_gets_its_share_while_all_are_full(queue, concurrency):
    """Of what is done first each priority has the share of its weight, and within each the order is kept."""
    log, each = _Log(), 1_000
    for priority in reversed(TaskPriority):
        await queue.add_tasks([NewTask("t", {"n": n}, priority) for n in range(each)])
    worker = Worker(queue, {"t": log}, concurrency)
    async with at_work(worker):
        await until(lambda: len(log.order) >= each // 2)
        early = log.order[: each // 2]
        await until(lambda: len(log.order) >= 4 * each)

    share = defaultdict(int)
    for task in early:
        share[task.priority] += 1
    expected = dict(zip(TaskPriority, (64, 16, 4, 1), strict=True))
    for priority, weight in expected.items():
        assert abs(share[priority] - len(early) * weight / 85) <= 0.05 * len(early)
    assert share[TaskPriority.LOW] >= 3

    for priority in TaskPriority:
        assert [task.payload["n"] for task in log.order if task.priority == priority] == list(range(each))
    await check_drained(queue)


async def test_urgent_tasks_wait_a_twentieth_while_all_streams_stay_full(make_queue):
    """All four streams kept full: CRITICAL waits at p99 a twentieth of what LOW waits; LOW gets its 1 in 85."""
    queue = await make_queue(batch_size=1)
    waits, added_at, run, full = defaultdict(list), {}, 0, True

    async def add(priority):
        added_at[await queue.add_task("t", {}, priority)] = run

    async def handler(task):
        nonlocal run
        run += 1
        waits[task.priority].append(run - added_at.pop(task.id, run))
        if full:
            await add(task.priority)

    for priority in TaskPriority:
        for _ in range(5):
            await add(priority)
    async with at_work(Worker(queue, {"t": handler}, concurrency=2)):
        await until(lambda: len(waits[TaskPriority.LOW]) >= 8)
        total = run
        full = False
        await until(lambda: not added_at)
    p99 = {priority: sorted(seen)[int(len(seen) * 0.99)] for priority, seen in waits.items()}
    assert p99[TaskPriority.CRITICAL] <= 0.05 * p99[TaskPriority.LOW]
    assert 0.75 * total <= 8 * 85
    await check_drained(queue)


async def test_low_work_is_done_while_urgent_work_never_ends(make_queue, clock):
    """Where the first LOW task is older than the age limit LOW has the share of HIGH: a fifth, and not 1 in 85."""
    queue = await make_queue(clock, age_limit_seconds=60.0)
    await queue.add_tasks([NewTask("t", {}, TaskPriority.LOW)] * 300)
    clock.advance(61)
    await queue.add_tasks([NewTask("t", {}, TaskPriority.CRITICAL)] * 300)
    log = _Log()
    async with at_work(Worker(queue, {"t": log}, concurrency=1)):
        await until(lambda: len(log.order) == 600)
    low = sum(task.priority is TaskPriority.LOW for task in log.order[:250])
    assert low >= 30  # and not 3
    await check_drained(queue)


async def test_what_comes_back_is_not_behind_a_backlog(make_queue):
    """A retry and a delayed task run while thousands of new tasks, held ahead of their time, never let a place free."""
    queue = await make_queue(retry_seconds=0.0)
    done, failed = [], asyncio.Event()

    async def once_more(task):
        if task.attempt == 1:
            failed.set()
            raise Retry("again", delay=0.0)
        done.append("again")

    async def short(task):
        done.append("short")

    await queue.add_task("once_more", {}, TaskPriority.LOW)
    await queue.add_task("short", {}, TaskPriority.LOW, delay=0.01, task_id="delayed")
    async with at_work(Worker(queue, {"once_more": once_more, "short": short}, concurrency=4)):
        await failed.wait()
        await queue.add_tasks([NewTask("short", {})] * 5_000)
        await until(lambda: "again" in done)
        assert (await queue.statistics()).ready > 1_500
        await queue.get_result("delayed", 30)
        assert (await queue.statistics()).ready > 500
        await until(lambda: len(done) == 5_002)
    await check_drained(queue)


async def test_first_in_first_out_within_a_priority(make_queue):
    """Tasks of one priority that several callers add run in the order in which they were added."""
    queues = [await make_queue() for _ in range(3)]
    for n in range(300):
        await queues[n % 3].add_task("t", {"n": n})
    log = _Log()
    async with at_work(Worker(queues[0], {"t": log}, concurrency=7)):
        await until(lambda: len(log.order) == 300)
    assert [task.payload["n"] for task in log.order] == list(range(300))
    await check_drained(queues[0])


async def test_long_tasks_are_not_held_ahead(queue, make_queue):
    """Once tasks are known to be long a worker takes no more than it runs: the rest is there for others."""
    other = await make_queue()
    release = asyncio.Event()

    async def long(payload):
        await release.wait()

    await queue.add_tasks([NewTask("t")] * 20)
    worker = Worker(queue, {"t": long}, concurrency=3)
    worker._mean_seconds = 20.0
    async with at_work(worker):
        await until(lambda: len(worker._runs) == 3)
        assert (await other.statistics()).ready == 17
        release.set()
        await until(lambda: _is_done(queue))
    await check_drained(queue)


async def _is_done(queue):
    return (await queue.statistics()).completed == 20
