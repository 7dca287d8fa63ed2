"""What is finished leaves its stream, at the latest with what is older; and never more than a bound stays behind."""

from __future__ import annotations

import pytest

from midas.queue import NewTask, TaskPriority
from midas.queue.streams import settler

from .ground import check_consistent, check_drained, until


@pytest.fixture
def length(queue):
    """Say how many entries the stream for new tasks of NORMAL has."""

    async def measure():
        return await queue.redis.xlen(f"{queue.keys.tag}new:50")

    return measure


async def _finish_all_but_the_first(queue, tasks: int, payload=None):
    """Hold one task and complete the others; gives the loop and the held delivery."""
    await queue.add_tasks([NewTask("t", payload or {}, TaskPriority.NORMAL) for _ in range(tasks)])
    consumed = queue.consume_tasks("w")
    first, _ = await anext(consumed)
    for _ in range(tasks - 1):
        message_id, _ = await anext(consumed)
        await queue.complete_task(message_id)
    return consumed, first


async def test_finished_entries_go_with_the_older_one(queue, length):
    """They stay behind an older one that is in flight, count as nothing, and go when it is finished."""
    consumed, first = await _finish_all_but_the_first(queue, 10)
    assert await length() == 10
    now = await queue.statistics()
    assert (now.ready, now.in_flight, now.completed) == (0, 1, 9)
    await check_consistent(queue)
    await queue.complete_task(first)
    assert await length() == 0
    await consumed.aclose()
    await check_drained(queue)


async def test_no_more_than_a_bound_stays(queue, length, monkeypatch):
    """A task that takes long keeps no more entries than the bound."""
    monkeypatch.setattr(settler, "_MOST_LEFT", 5)
    consumed, first = await _finish_all_but_the_first(queue, 20)
    assert await length() == 1 + 5
    await check_consistent(queue)
    await queue.complete_task(first)
    await consumed.aclose()
    assert await length() == 0


async def test_large_entries_go_at_once(queue, length):
    """Nothing large stays behind an older one."""
    consumed, first = await _finish_all_but_the_first(queue, 4, {"text": "x" * 5_000})
    assert await length() == 1
    await queue.complete_task(first)
    await consumed.aclose()
    await check_drained(queue)


async def test_what_stays_behind_a_task_that_went_another_way_goes_with_the_next_sweep(queue, length):
    """The older one is tried again as another entry: then whoever sweeps removes what stayed behind it."""
    consumed, first = await _finish_all_but_the_first(queue, 5)
    await queue.fail_task(first, "not yet")
    await queue.recover()
    await until(lambda: _is_empty(length))
    await consumed.aclose()


async def _is_empty(length):
    return await length() == 0
