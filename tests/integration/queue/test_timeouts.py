"""No task waits or runs for ever, whether or not a worker is there to notice."""

from __future__ import annotations

import pytest

from midas.errors import TaskTimeout
from midas.queue import LeaseLost, TaskStatus


async def test_a_task_that_waited_too_long_is_not_run(queue, clock, metric):
    """When a worker comes too late, it gets the next task, and the late one is TIMEOUT and counted once."""
    late = await queue.enqueue_task("slow_one", {})
    clock.advance(29)
    fresh = await queue.enqueue_task("t", {})
    clock.advance(2)

    assert (await queue.dequeue_task("w")).id == fresh
    assert await queue.get_task_status(late) is TaskStatus.TIMEOUT
    with pytest.raises(TaskTimeout, match="waited longer than 30 s"):
        await queue.get_result(late)
    assert metric("queue_tasks_completed_total", queue="ai", task="slow_one", outcome="timeout") == 1


@pytest.mark.parametrize("noticed_by", ["status", "result", "sweeper"])
async def test_a_waiting_task_times_out_without_any_worker(queue, clock, metric, noticed_by):
    """Whoever looks first finds that the wait is over."""
    task_id = await queue.enqueue_task("t", {})
    clock.advance(30)
    if noticed_by == "status":
        assert await queue.get_task_status(task_id) is TaskStatus.TIMEOUT
    elif noticed_by == "result":
        with pytest.raises(TaskTimeout, match="waited longer than 30 s"):
            await queue.get_result(task_id)
    else:
        assert await queue.recover() == 0
    assert await queue.get_task_status(task_id) is TaskStatus.TIMEOUT
    assert await queue.get_queue_size() == 0
    assert metric("queue_tasks_completed_total", outcome="timeout") == 1


async def test_a_late_result_is_refused(queue, clock):
    """A worker that took longer than the task may gets LeaseLost, and the task is TIMEOUT for everybody."""
    task_id = await queue.enqueue_task("t", {}, timeout=10)
    task = await queue.dequeue_task("slow")
    for _ in range(2):
        clock.advance(4)
        await queue.extend(task)
    clock.advance(2.5)

    with pytest.raises(LeaseLost, match="ran longer than 10 s"):
        await queue.store_result(task, {"too": "late"})
    with pytest.raises(TaskTimeout, match="ran longer than 10 s"):
        await queue.get_result(task_id)


async def test_a_task_that_runs_too_long_ends_while_its_worker_goes_on(queue, clock):
    """PROCESSING ends when the time is over, even if the worker renews its lease for ever."""
    task_id = await queue.enqueue_task("t", {}, timeout=10)
    task = await queue.dequeue_task("endless")
    clock.advance(9)
    await queue.extend(task)
    clock.advance(2)

    await queue.recover()
    assert await queue.get_task_status(task_id) is TaskStatus.TIMEOUT
    with pytest.raises(LeaseLost):
        await queue.extend(task)
    with pytest.raises(LeaseLost):
        await queue.store_result(task, {})


async def test_a_timeout_said_late_is_still_the_timeout(queue, clock):
    """A worker that reports the timeout after the deadline agrees with the queue: no error."""
    task_id = await queue.enqueue_task("t", {}, timeout=10)
    task = await queue.dequeue_task("w")
    clock.advance(9)
    await queue.extend(task)
    clock.advance(1)
    await queue.fail(task, TimeoutError("ten seconds are over"))
    assert await queue.get_task_status(task_id) is TaskStatus.TIMEOUT


async def test_a_batch_may_wait_longer_than_it_may_run(queue, clock):
    """max_wait is the time in line, timeout the time of a run."""
    task_id = await queue.enqueue_task("t", {}, timeout=10, max_wait=3600)
    clock.advance(3599)
    task = await queue.dequeue_task("w")
    assert task.id == task_id
    assert task.waited_seconds == 3599
    assert 9 < task.seconds_left() <= 10


async def test_waiting_in_line_starts_anew_after_a_recovery(queue, clock):
    """A task that its worker lost does not time out because of the time the dead worker had it."""
    task_id = await queue.enqueue_task("t", {})
    clock.advance(25)
    await queue.dequeue_task("dies")
    clock.advance(16)
    await queue.recover()
    clock.advance(25)
    assert (await queue.dequeue_task("w")).id == task_id


async def test_a_long_backlog_of_expired_tasks_is_skipped(queue, clock):
    """A worker gets through any number of expired tasks to the one that is still wanted."""
    for _ in range(250):
        await queue.enqueue_task("t", {})
    clock.advance(31)
    wanted = await queue.enqueue_task("t", {})
    assert (await queue.dequeue_task("w", wait_seconds=5)).id == wanted
