"""Workers die, stop and come back; each task is ended once, by whoever holds it last."""

from __future__ import annotations

import asyncio

import pytest

from midas.errors import TaskFailed
from midas.queue import LeaseLost, TaskStatus


async def test_a_dead_workers_task_goes_to_another(queue, clock, metric):
    """A task whose lease lapsed is recovered, delivered again and counted."""
    task_id = await queue.enqueue_task("t", {"n": 1})
    await queue.dequeue_task("dies")
    clock.advance(14)
    assert await queue.recover() == 0
    clock.advance(2)
    assert await queue.recover() == 1

    again = await queue.dequeue_task("lives")
    assert (again.id, again.payload, again.deliveries) == (task_id, {"n": 1}, 2)
    await queue.store_result(again, {"by": "lives"})
    assert await queue.get_result(task_id) == {"by": "lives"}
    assert metric("queue_tasks_recovered_total", queue="ai") == 1


async def test_an_owner_whose_task_was_given_away_can_do_nothing_with_it(queue, clock):
    """Split brain: after another worker got the task, the first can neither end, extend, return nor bury it."""
    task_id = await queue.enqueue_task("t", {})
    old = await queue.dequeue_task("paused")
    clock.advance(16)
    await queue.recover()
    for attempt in ("while it waits", "while another runs it", "after another ended it"):
        for says in (
            queue.store_result(old, {"by": "paused"}),
            queue.fail(old, "error of the paused one"),
            queue.extend(old),
            queue.give_back(old),
            queue.retry(old, "again"),
            queue.bury(old, "hopeless"),
        ):
            with pytest.raises(LeaseLost):
                await says
        if attempt == "while it waits":
            new = await queue.dequeue_task("awake")
        elif attempt == "while another runs it":
            await queue.store_result(new, {"by": "awake"})
    assert await queue.get_result(task_id) == {"by": "awake"}


async def test_a_lapsed_lease_nobody_noticed_does_not_waste_the_work(queue, clock):
    """As long as nobody else got the task, its only owner may end it, late or not: nothing is done twice."""
    task_id = await queue.enqueue_task("t", {})
    task = await queue.dequeue_task("slow")
    clock.advance(20)
    await queue.store_result(task, {"n": 1})
    assert await queue.recover() == 0
    assert await queue.get_result(task_id) == {"n": 1}


async def test_an_extended_lease_keeps_the_task(queue, clock):
    """A worker that gives signs of life keeps a long task to its end."""
    await queue.enqueue_task("t", {}, timeout=600)
    task = await queue.dequeue_task("diligent")
    for _ in range(40):
        clock.advance(14)
        await queue.extend(task)
        assert await queue.recover() == 0
    await queue.store_result(task, {})


async def test_recovered_tasks_go_to_the_front_of_their_priority(queue, clock):
    """A task that comes back stands before younger ones of its priority, and behind higher priorities."""
    for name in ("first", "second"):
        await queue.enqueue_task("t", {}, task_id=name)
    assert (await queue.dequeue_task("dies")).id == "first"
    assert (await queue.dequeue_task("dies")).id == "second"
    await queue.enqueue_task("t", {}, task_id="third")
    await queue.enqueue_task("t", {}, task_id="urgent", priority=60)
    clock.advance(16)
    assert await queue.recover() == 2

    assert [(await queue.dequeue_task("w")).id for _ in range(4)] == ["urgent", "first", "second", "third"]


async def test_a_task_that_kills_its_workers_dies(queue, clock, metric):
    """After five deliveries that all lost their worker, a task is dead and its waiter told."""
    task_id = await queue.enqueue_task("t", {}, max_wait=3600)
    for _ in range(5):
        assert (await queue.dequeue_task("victim")).id == task_id
        clock.advance(16)
        await queue.recover()

    assert await queue.dequeue_task("w") is None
    with pytest.raises(TaskFailed, match="lost its worker 5 times, last victim"):
        await queue.get_result(task_id)
    assert metric("queue_tasks_recovered_total", queue="ai") == 4
    assert metric("queue_tasks_dead_lettered_total", queue="ai") == 1
    assert (await queue.state()).dead == 1


async def test_giving_back_costs_no_chance(queue):
    """A worker that stops gives its task back at once, to its place in line, as often as it likes."""
    await queue.enqueue_task("t", {}, task_id="mine")
    await queue.enqueue_task("t", {}, task_id="next")
    for _ in range(20):
        task = await queue.dequeue_task("stops")
        assert (task.id, task.deliveries) == ("mine", 1)
        await queue.give_back(task)
        await queue.give_back(task)  # the reply of the first was lost
    assert await queue.get_task_status("mine") is TaskStatus.PENDING


async def test_retries_are_counted_and_end(queue, metric):
    """A task put back after an error is retried four times, then dead with the last reason."""
    await queue.enqueue_task("t", {}, task_id="x")
    for _ in range(5):
        await queue.retry(await queue.dequeue_task("w"), "PostgreSQL is away")

    assert await queue.dequeue_task("w") is None
    with pytest.raises(TaskFailed, match="PostgreSQL is away"):
        await queue.get_result("x")
    assert metric("queue_tasks_retried_total", queue="ai") == 4
    assert metric("queue_tasks_dead_lettered_total", queue="ai") == 1


async def test_many_dead_workers_are_recovered_in_one_call(queue, clock):
    """recover() goes on until nothing is left, however many tasks lapsed at once."""
    for number in range(350):
        await queue.enqueue_task("t", {"n": number})
        await queue.dequeue_task("dies")
    clock.advance(16)
    assert await queue.recover() == 350
    assert [(await queue.dequeue_task("w")).payload["n"] for _ in range(350)] == list(range(350))


async def test_a_task_short_of_time_has_a_short_lease(queue, clock):
    """A dead worker is noticed within half of the task's time, so another still gets the whole of it."""
    await queue.enqueue_task("t", {}, timeout=4)
    task = await queue.dequeue_task("dies")
    assert task.lease_seconds == 2.0
    clock.advance(2.1)
    assert await queue.recover() == 1
    assert (await queue.dequeue_task("w")).deliveries == 2


async def test_a_dead_workers_task_is_recovered_however_late_somebody_looks(queue, clock):
    """When the only worker died and nobody swept for long, the task runs again instead of timing out."""
    task_id = await queue.enqueue_task("t", {})
    await queue.dequeue_task("dies")
    clock.advance(500)
    assert await queue.get_task_status(task_id) is TaskStatus.PROCESSING
    assert await queue.recover() == 1
    assert (await queue.dequeue_task("w")).id == task_id


async def test_a_cancelled_dequeue_loses_nothing(live_queue):
    """A worker that is cancelled at any moment of taking a task leaves it in line, without using up a chance."""
    await live_queue.enqueue_task("t", {}, task_id="x")
    for turns in range(12):
        taking = asyncio.create_task(live_queue.dequeue_task("w", wait_seconds=5))
        for _ in range(turns):
            await asyncio.sleep(0)
        taking.cancel()
        try:
            task = await taking
        except asyncio.CancelledError:
            continue
        await live_queue.give_back(task)
    assert (await live_queue.state()).ready == 1
    assert (await live_queue.dequeue_task("w")).deliveries == 1
