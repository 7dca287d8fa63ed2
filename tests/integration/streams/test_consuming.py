"""A caller with a loop of his own gets tasks one by one, and says himself what becomes of each."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from midas.errors import TaskFailed, TaskTimeout
from midas.queue import GiveUp, InvalidTask, LeaseLost, NewTask, TaskCancelled, TaskStatus

from .ground import check_drained, until


async def test_a_loop_completes_and_fails_what_it_gets(queue, metric):
    """Tasks come in order; completed ones have a result, failed ones come again and end as dead letters."""
    ids = await queue.add_tasks([NewTask("t", {"n": n}, max_retries=1) for n in range(6)])
    seen = []
    async with aclosing(queue.consume_tasks("w-1")) as tasks:
        async for message_id, task in tasks:
            seen.append((task.payload["n"], task.attempt))
            if task.payload["n"] % 2:
                await queue.fail_task(message_id, ValueError("odd"), task)
            else:
                await queue.complete_task(message_id, {"half": task.payload["n"] // 2})
            if len(seen) == 9:
                break
    assert [n for n, attempt in seen if attempt == 1] == list(range(6))
    assert sorted(n for n, attempt in seen if attempt == 2) == [1, 3, 5]
    assert [await queue.get_result(task_id, 0) for task_id in ids[::2]] == [
        {"half": 0},
        {"half": 1},
        {"half": 2},
    ]
    letter = await queue.dead_letter(ids[1])
    assert (letter.reason, letter.history, letter.worker) == ("ValueError: odd", ("ValueError: odd",), "w-1")
    outcome = {"queue": "tasks", "task": "t"}
    assert metric("queue_tasks_completed_total", outcome="ok", **outcome) == 3
    assert metric("queue_tasks_completed_total", outcome="error", **outcome) == 6
    assert metric("queue_tasks_retried_total", queue="tasks") == 3
    assert metric("queue_tasks_dead_lettered_total", queue="tasks") == 3
    assert metric("queue_task_wait_seconds_count", queue="tasks") == 6
    await check_drained(queue)


async def test_errors_mean_what_they_mean_in_handlers(queue):
    """GiveUp is final, a TimeoutError that is final makes the task TIMEOUT, and a text does for an error."""
    errors = [GiveUp("never"), TimeoutError("slow"), "no reason to run it"]
    ids = await queue.add_tasks([NewTask("t", {"n": n}, max_retries=2 if n == 0 else 0) for n in range(3)])
    async with aclosing(queue.consume_tasks("w")) as tasks:
        for error in errors:
            message_id, _ = await anext(tasks)
            await queue.fail_task(message_id, error)
    expected = [(TaskFailed, "never"), (TaskTimeout, "slow"), (TaskFailed, "no reason to run it")]
    for task_id, (kind, reason) in zip(ids, expected, strict=True):
        with pytest.raises(kind, match=reason):
            await queue.get_result(task_id, 0)
    await check_drained(queue)


async def test_who_leaves_gives_the_rest_back(queue, make_queue):
    """Leaving the loop returns what is out and what was fetched ahead, uncounted; ending it later is refused."""
    other = await make_queue()
    await queue.add_tasks([NewTask("t", {"n": n}) for n in range(10)])
    async for message_id, _task in queue.consume_tasks("w", ahead=5):  # noqa: B007 -- used afterwards
        assert (await other.statistics()).in_flight == 6
        break
    await until(lambda: _in_flight(other, 0))
    with pytest.raises(LeaseLost, match="not held here"):
        await queue.complete_task(message_id)
    with pytest.raises(LeaseLost):
        await queue.fail_task(message_id, "too late")
    async with aclosing(other.consume_tasks("v")) as tasks:
        for _ in range(10):
            message_id, task = await anext(tasks)
            assert (task.attempt, task.head.history) == (1, [])
            await other.complete_task(message_id)
    await check_drained(queue)


async def test_closing_the_queue_gives_back_what_is_out(queue, make_queue):
    """A queue that is closed while a loop holds tasks returns them first."""
    other = await make_queue()
    await other.add_tasks([NewTask("t"), NewTask("t")])
    consumed = other.consume_tasks("w", ahead=1)
    await anext(consumed)
    await other.aclose()
    assert (await queue.statistics()).ready == 2
    await consumed.aclose()
    for letter in range(2):
        message_id, _ = await anext(again := queue.consume_tasks(f"v-{letter}"))
        await queue.complete_task(message_id)
        await again.aclose()
    await check_drained(queue)


async def test_any_asyncio_task_may_end_a_delivery_in_any_order(queue):
    """Thirty tasks that are out at once are ended from other asyncio tasks, the last first."""
    ids = await queue.add_tasks([NewTask("t", {"n": n}) for n in range(30)])
    async with aclosing(queue.consume_tasks("w", ahead=10)) as tasks:
        out = [await anext(tasks) for _ in range(30)]
        await asyncio.gather(
            *(queue.complete_task(message_id, task.payload["n"]) for message_id, task in out[::-1])
        )
    assert [await queue.get_result(task_id, 0) for task_id in ids] == list(range(30))
    await check_drained(queue)


async def test_wrong_calls_change_nothing(queue):
    """A result that cannot be sent, another task's delivery and an ended delivery are refused; the task stays ours."""
    await queue.add_tasks([NewTask("t"), NewTask("t")])
    async with aclosing(queue.consume_tasks("w")) as tasks:
        message_id, task = await anext(tasks)
        other_id, _ = await anext(tasks)
        with pytest.raises(InvalidTask):
            await queue.complete_task(message_id, object())
        with pytest.raises(ValueError, match="and not of"):
            await queue.fail_task(other_id, "no", task)
        await queue.complete_task(message_id, 1)
        with pytest.raises(LeaseLost):
            await queue.complete_task(message_id, 2)
        await queue.complete_task(other_id)
    assert await queue.get_result(task.id, 0) == 1
    await check_drained(queue)


async def test_a_delivery_that_was_taken_away_is_refused(make_queue, clock, metric):
    """Who lost his lease cannot end the task any more, and the outcome is that of the one who has it."""
    queue, other = [await make_queue(clock, lease_seconds=1_000.0) for _ in range(2)]
    task_id = await queue.add_task("t")
    async with aclosing(queue.consume_tasks("w")) as tasks, aclosing(other.consume_tasks("v")) as others:
        message_id, _ = await anext(tasks)
        # A reader compares what it holds when it begins to listen, and must not do it once the task is gone.
        await until(lambda: metric("redis_operations_total", operation="streams.held", outcome="ok"))
        clock.advance(1_001)
        assert await other.recover() == 1
        theirs, task = await anext(others)
        assert (task.attempt, task.head.deliveries) == (2, 1)
        with pytest.raises(LeaseLost):
            await queue.complete_task(message_id, "mine")
        await other.complete_task(theirs, "theirs")
    assert await queue.get_result(task_id, 0) == "theirs"
    assert (queue.refusals, other.refusals) == (1, 0)
    assert metric("queue_tasks_recovered_total", queue="tasks") == 1
    await check_drained(queue)


async def test_what_is_not_worth_beginning_is_not_given_out(make_queue, clock):
    """Overdue tasks end as TIMEOUT, and tasks cancelled while they were held ahead as CANCELLED, without being seen."""
    queue = await make_queue(clock)
    late = await queue.add_task("t", expires=10)
    clock.advance(11)
    first, unwanted, last = await queue.add_tasks([NewTask("t", {"n": n}) for n in range(3)])
    async with aclosing(queue.consume_tasks("w", ahead=5)) as tasks:
        message_id, task = await anext(tasks)
        assert task.id == first
        await until(lambda: queue.redis.pubsub_numsub(queue.keys.cancellations))
        assert await queue.cancel(unwanted)
        with pytest.raises(TaskCancelled):
            await queue.get_result(unwanted, 20)
        await queue.complete_task(message_id)
        message_id, task = await anext(tasks)
        assert task.id == last
        await queue.complete_task(message_id)
    assert await queue.get_task_status(late) is TaskStatus.TIMEOUT
    await check_drained(queue)


async def test_a_settlement_whose_reply_was_lost_is_not_refused(queue):
    """Done, failed and returned deliveries that are said twice, because the reply was lost, count as said once."""
    await queue.add_tasks([NewTask("t", {"n": n}, max_retries=n, task_id=f"t-{n}") for n in range(3)])
    send = queue._sender.send

    async def send_twice(call, *, within):
        if call.script.name == "settle":
            await send(call, within=within)
        return await send(call, within=within)

    async with aclosing(queue.consume_tasks("w")) as tasks:
        out = [await anext(tasks) for _ in range(3)]
        queue._sender.send = send_twice
        await queue.complete_task(out[0][0], 1)  # done
        await queue.fail_task(out[1][0], "again")
        await queue.fail_task(out[2][0], GiveUp("dead"))
    assert queue.refusals == 0
    await queue.cancel("t-1")
    await check_drained(queue)


async def _in_flight(queue, count):
    return (await queue.statistics()).in_flight == count
