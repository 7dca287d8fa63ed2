"""A run that cannot be stopped ends its own task and nothing else, and keeps its place until it is really over."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from midas.errors import TaskTimeout
from midas.queue import Batch, LeaseLost, NewTask, TaskStatus, Worker

from .ground import at_work, check_drained, until

LEASE = 1.5  # shorter ones lapse by themselves on a busy machine


class _Stubborn:
    """A handler that does not end when it is told to."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.begun: list[int] = []

    async def __call__(self, task):
        self.begun.append(task.attempt)
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                continue
        return "too late"


async def test_a_run_that_swallows_its_end_is_a_timeout(make_queue, metric):
    """A task whose run goes on after its time is retried and then TIMEOUT, in a worker with room as in a full one."""
    queue = await make_queue(lease_seconds=LEASE)
    stubborn = _Stubborn()
    task_id = await queue.add_task("stubborn", timeout=0.05, max_retries=1)
    worker = Worker(queue, {"stubborn": stubborn, "quick": lambda payload: 1}, concurrency=3)
    async with at_work(worker):
        with pytest.raises(TaskTimeout, match="did not end after 0.05 s"):
            await queue.get_result(task_id, 60)
        assert stubborn.begun == [1, 2]
        assert len(worker._runs) == 2  # their places are taken
        assert await queue.get_result(await queue.add_task("quick"), 60) == 1
        stubborn.release.set()
        await until(lambda: not worker._runs)
    assert metric("queue_tasks_dead_lettered_total") == 1
    now = await check_drained(queue)
    assert (now.stats["dead"], now.stats["retried"], now.stats["recovered"]) == (1, 1, 0)


async def test_nobody_waits_for_a_run_that_is_over_for_its_task(make_queue):
    """A worker that runs until nothing is left ends beside a run that goes on after its task has timed out."""
    queue = await make_queue(lease_seconds=LEASE)
    stubborn = _Stubborn()
    task_id = await queue.add_task("stubborn", timeout=0.05, max_retries=0)
    async with asyncio.timeout(60):
        await Worker(queue, {"stubborn": stubborn}, drain_seconds=0.05).run(until_empty=True)
    assert await queue.get_task_status(task_id) is TaskStatus.TIMEOUT
    stubborn.release.set()
    await check_drained(queue)


async def test_a_run_that_cannot_be_stopped_takes_no_others_along(make_queue):
    """Beside a run that goes on for ever the other tasks of a full worker run once, for many leases."""
    queue = await make_queue(lease_seconds=LEASE)
    stubborn, begun, release = _Stubborn(), [], asyncio.Event()

    async def long(task):
        begun.append(task.attempt)
        await release.wait()

    hopeless = await queue.add_task("stubborn", timeout=0.05, max_retries=0)
    ids = await queue.add_tasks([NewTask("long")] * 3)
    handlers = {"stubborn": stubborn, "long": long}
    async with at_work(*(Worker(queue, handlers, concurrency=4) for _ in range(2))):
        await until(lambda: _has_status(queue, hopeless, TaskStatus.TIMEOUT))
        await _pass(10 * LEASE)
        release.set()
        assert [await queue.get_result(task_id, 60) for task_id in ids] == [None] * 3
        stubborn.release.set()
    assert begun == [1, 1, 1]
    assert (await check_drained(queue)).stats["recovered"] == 0


async def test_a_delivery_that_is_forgotten_is_a_timeout(make_queue):
    """Who consumes tasks and does not end one loses that one, a lease after its time, and none of the others."""
    queue = await make_queue(lease_seconds=LEASE)
    forgotten = await queue.add_task("t", timeout=0.05, task_id="forgotten", max_retries=1)
    kept, tries = await queue.add_task("t", task_id="kept"), []

    async def consume():
        async for message_id, task in queue.consume_tasks("w"):
            tries.append((task.id, task.attempt, message_id))

    consuming = asyncio.create_task(consume())
    await until(lambda: _has_status(queue, forgotten, TaskStatus.TIMEOUT))
    assert sorted(attempt[:2] for attempt in tries) == [("forgotten", 1), ("forgotten", 2), ("kept", 1)]
    assert await queue.get_task_status(kept) is TaskStatus.PROCESSING
    for task_id, _, message_id in tries:
        if task_id == kept:
            await queue.complete_task(message_id, 1)
        else:
            with pytest.raises(LeaseLost):
                await queue.complete_task(message_id, 1)
    consuming.cancel()
    await asyncio.wait([consuming])
    await check_drained(queue)


async def test_threads_that_hang_take_their_own_places_only(make_queue):
    """Plain functions that go on after their time keep their places, and no task waits for a thread that they have."""
    queue = await make_queue()
    release, ran = threading.Event(), []
    handlers = {"hang": lambda payload: release.wait(300), "t": lambda payload: ran.append(payload["n"])}
    worker = Worker(queue, handlers, concurrency=3)
    hung = await queue.add_tasks([NewTask("hang", timeout=0.05, max_retries=0)] * 2)
    try:
        async with at_work(worker):
            await until(lambda: _has_status(queue, hung[1], TaskStatus.TIMEOUT))
            ids = await queue.add_tasks(
                [NewTask("t", {"n": n}, timeout=60, max_retries=0) for n in range(10)]
            )
            for task_id in ids:
                assert await queue.get_result(task_id, 60) is None
            assert worker._room() == (1, 0)
            worker.check()
            last = await queue.add_task("hang", timeout=0.05, max_retries=0)
            await until(lambda: _has_status(queue, last, TaskStatus.TIMEOUT))
            with pytest.raises(RuntimeError, match="all 3 places are taken"):
                worker.check()
            waiting = await queue.add_task("t", {"n": 10})
            assert await queue.get_task_status(waiting) is TaskStatus.PENDING
            release.set()
            assert await queue.get_result(waiting, 60) is None
            worker.check()
    finally:
        release.set()
    assert ran == list(range(11))
    await check_drained(queue)


def test_a_thread_that_hangs_keeps_no_process_alive(redis_url):
    """A process ends after run() although a function of it sleeps on in its thread."""
    program = (
        "import asyncio, sys, time\n"
        "from midas.queue import TaskQueue, TaskQueueConfig, Worker\n"
        "async def main():\n"
        "    async with TaskQueue(TaskQueueConfig(sys.argv[1])) as queue:\n"
        "        await queue.add_task('hang', timeout=0.05, max_retries=0)\n"
        "        await Worker(queue, {'hang': lambda payload: time.sleep(600)}).run(until_empty=True)\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", program, redis_url], check=True, timeout=60)


@pytest.mark.parametrize("ending", ["timeout", "stop"])
async def test_a_batch_is_stopped_with_the_last_of_its_tasks(make_queue, ending):
    """A batch whose tasks timed out, or went back, is cancelled; while one of them is wanted it goes on."""
    queue = await make_queue()
    began, ended = asyncio.Event(), []

    async def many(tasks):
        began.set()
        try:
            await asyncio.sleep(0.5 if ended else 120)  # the first is to be stopped
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        ended.append("done")
        return [1] * len(tasks)

    worker = Worker(queue, {"t": Batch(many, size=2)}, drain_seconds=0.01)
    if ending == "stop":
        ids = await queue.add_tasks([NewTask("t")] * 2)
        async with at_work(worker):
            await began.wait()
        await until(lambda: ended == ["cancelled"])
        assert (await queue.statistics()).ready == 2
        for task_id in ids:
            await queue.cancel(task_id)
    else:
        short = [NewTask("t", timeout=0.05, max_retries=0)] * 2
        async with at_work(worker):
            await queue.add_tasks(short)
            await until(lambda: ended == ["cancelled"])
            _, kept = await queue.add_tasks([short[0], NewTask("t")])
            assert await queue.get_result(kept, 60) == 1
            assert ended == ["cancelled", "done"]
    await check_drained(queue)


async def _has_status(queue, task_id, status):
    return await queue.get_task_status(task_id) is status


async def _pass(seconds):
    """Let time pass in which nothing must happen."""
    end = time.monotonic() + seconds
    await until(lambda: time.monotonic() > end)
