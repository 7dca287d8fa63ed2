"""A server whose memory is used up refuses new tasks, and lets those pass that are there."""

from __future__ import annotations

import pytest

from midas.errors import QueueUnavailable


@pytest.fixture(name="memory_is_short")
async def _memory_is_short(redis):
    async def use_up():
        await redis.config_set("maxmemory", 1)

    yield use_up
    await redis.config_set("maxmemory", 0)


async def test_a_full_server_is_drained_and_not_filled(queue, clock, memory_is_short):
    """Where memory is short tasks are taken, kept, given back, recovered and ended, and none is added."""
    ids = [await queue.enqueue_task("t", {"n": n}) for n in range(3)]
    await memory_is_short()
    with pytest.raises(QueueUnavailable, match="maxmemory|memory"):
        await queue.enqueue_task("t", {"n": 3})
    task = await queue.dequeue_task("w")
    await queue.extend(task)
    await queue.give_back(task)
    task = await queue.dequeue_task("dies")
    clock.advance(16)
    assert await queue.recover() == 1
    for task_id in ids:
        task = await queue.dequeue_task("w")
        assert task.id == task_id
        await queue.store_result(task, {"n": task.payload["n"]})
    assert [await queue.get_result(task_id) for task_id in ids] == [{"n": n} for n in range(3)]
