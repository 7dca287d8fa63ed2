"""A task that nobody wants any more ends as CANCELLED wherever it is, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading

import pytest

from midas.errors import TaskUnknown
from midas.queue import Limit, TaskCancelled, TaskStatus, Worker

from .ground import at_work, check_drained, snapshot, until


async def test_waiting_and_delayed_tasks_end_at_once(queue):
    """Cancelling what nobody has taken ends it, releases its unique key, and wakes whoever waits for it."""
    for delay in (0, 1_000):
        task_id = await queue.add_task("t", delay=delay, unique_key="u")
        waiting = asyncio.create_task(queue.get_result(task_id, 30))
        await until(lambda: queue.redis.exists(f"{queue.keys.tag}awaited"))
        assert await queue.cancel(task_id)
        with pytest.raises(TaskCancelled, match="cancelled before it ran"):
            await waiting
        assert await queue.get_task_status(task_id) is TaskStatus.CANCELLED
        assert not await queue.cancel(task_id)
    with pytest.raises(TaskUnknown):
        await queue.cancel("never-added")
    await check_drained(queue)


async def test_a_parked_task_ends_at_once(make_queue):
    """A task that waits for a free place of its type can be cancelled, and the others keep their places."""
    queue = await make_queue(limits={"t": Limit(concurrency=1)})
    release, ran = asyncio.Event(), []

    async def handler(payload):
        ran.append(payload["n"])
        await release.wait()

    ids = [await queue.add_task("t", {"n": n}) for n in range(4)]
    async with at_work(Worker(queue, {"t": handler})):
        await until(lambda: _parked(queue, 3))
        assert await queue.cancel(ids[1])
        release.set()
        await until(lambda: _ended(queue, 4))
    assert ran == [0, 2, 3]
    await check_drained(queue)


async def test_a_running_task_is_stopped(queue):
    """A cancelled task's run is cancelled wherever it runs; one in a thread is left alone, its result thrown away."""
    began, release = asyncio.Event(), threading.Event()

    async def endless(payload):
        began.set()
        await asyncio.Event().wait()

    running, in_thread = await queue.add_task("endless"), await queue.add_task("thread")
    async with at_work(Worker(queue, {"endless": endless, "thread": lambda payload: release.wait(120)})):
        await began.wait()
        await until(lambda: _in_flight(queue, 2))
        for task_id in (running, in_thread):
            assert await queue.cancel(task_id)
            with pytest.raises(TaskCancelled, match="cancelled while it ran"):
                await queue.get_result(task_id, 60)
        release.set()
    await check_drained(queue)


async def test_a_cancellation_that_nobody_heard_is_found(make_queue):
    """A worker that missed the message, its subscription being broken, learns of it by looking."""
    queue = await make_queue(lease_seconds=0.3)
    began = asyncio.Event()

    async def endless(payload):
        began.set()
        await asyncio.Event().wait()

    task_id = await queue.add_task("t")
    async with at_work(Worker(queue, {"t": endless})):
        await began.wait()
        await queue.redis.zadd(
            queue.keys.cancelled_ids, {task_id: 0}
        )  # as cancel.lua does it, without the message
        with pytest.raises(TaskCancelled):
            await queue.get_result(task_id, 60)
    await check_drained(queue)


async def test_a_cancellation_is_heard_while_the_task_is_on_its_way(make_queue):
    """A task that is cancelled after the server gave it out and before the worker has it does not run to its end."""
    queue = await make_queue(lease_seconds=1_000.0)

    async def endless(payload):
        await asyncio.Event().wait()

    worker = Worker(queue, {"t": endless})
    send, held_up = queue._sender.send, asyncio.Event()

    async def send_and_dawdle(call, *, within):
        reply = await send(call, within=within)
        if call.script.name == "take" and len(reply) > 3:
            held_up.set()
            await until(lambda: worker._reader._heard_while_taking)
        return reply

    queue._sender.send = send_and_dawdle
    async with at_work(worker):
        task_id = await queue.add_task("t", timeout=1_000)
        await held_up.wait()
        assert await queue.cancel(task_id)
        with pytest.raises(TaskCancelled):
            await queue.get_result(task_id, 60)
    await check_drained(queue)


@pytest.mark.parametrize("ending", ["completes", "fails", "dies"])
async def test_who_is_first_decides(make_queue, clock, ending):
    """A cancelled task that completes before its worker heard of it is COMPLETED; one that would come back does not."""
    queue = await make_queue(clock, lease_seconds=10.0)
    other = await make_queue(clock, lease_seconds=10.0)
    task_id = await queue.add_task("t")
    consumed = queue.consume_tasks("w")
    message_id, _ = await anext(consumed)
    assert await other.cancel(task_id)
    if ending == "completes":
        await queue.complete_task(message_id, 1)
        assert await queue.get_result(task_id, 0) == 1
    elif ending == "fails":
        await queue.fail_task(message_id, "no")
    else:
        clock.advance(11)
        await other.recover()
    if ending != "completes":
        with pytest.raises(TaskCancelled):
            await queue.get_result(task_id, 0)
    await consumed.aclose()
    await check_drained(queue)


async def _parked(queue, count):
    return (await queue.statistics()).parked == count


async def _in_flight(queue, count):
    return (await queue.statistics()).in_flight == count


async def _ended(queue, count):
    return (await snapshot(queue)).ends() == count
