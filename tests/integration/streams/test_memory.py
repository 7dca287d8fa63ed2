"""A server whose memory is used up refuses what is new, and lets everything pass that makes room."""

from __future__ import annotations

import asyncio

import pytest

from midas.errors import QueueUnavailable
from midas.queue import GiveUp, NewTask, TaskStatus, Worker

from ..redis_servers import OLD, server  # noqa: TID252 -- the tests are no package on any path
from .ground import at_work, check_drained, until

_LARGE = {"x": "y" * 5_000}


@pytest.fixture(name="small_server", params=["redis-server", OLD], ids=["newest", "6.2"])
def _small_server(tmp_path, request):
    with server(tmp_path / "small", program=request.param) as port:
        yield f"redis://127.0.0.1:{port}"


async def test_a_full_server_is_drained_and_not_filled(small_server, make_queue):
    """Where memory is short nothing is added, and what is there is taken, fails, ends, is waited for and cancelled."""
    queue = await make_queue(url=small_server, lease_seconds=2.0, retry_seconds=0.001)
    release, begun = asyncio.Event(), []

    async def handler(task):
        begun.append(task.id)
        await release.wait()
        if task.payload.get("fail"):
            raise GiveUp("as it was told")
        if task.attempt == 1:
            raise ValueError("not yet")

    ids = await queue.add_tasks([NewTask("t", _LARGE) for _ in range(40)])
    dying, waiting = await queue.add_tasks([NewTask("t", {"fail": True}), NewTask("t", delay=1_000)])
    await _use_up_the_memory(queue)
    for refused in (
        queue.add_task("t"),
        queue.add_tasks([NewTask("t", _LARGE)]),
        queue.add_task("t", delay=9),
    ):
        with pytest.raises(QueueUnavailable, match="maxmemory|memory"):
            await refused
    assert await queue.cancel(waiting)
    async with at_work(Worker(queue, {"t": handler}, concurrency=20)):
        await until(lambda: len(begun) == 20)
        running = begun[0]
        assert await queue.cancel(running)
        looking = asyncio.create_task(queue.get_result(ids[-1], 60))
        await queue.recover()
        await queue.wake()
        release.set()
        assert await looking is None
        await until(lambda: _ended(queue, 42))
    assert await queue.get_task_status(running) is TaskStatus.CANCELLED
    with pytest.raises(QueueUnavailable):
        await queue.replay([dying])
    assert (await queue.dead_letter(dying)).reason == "as it was told"
    await queue.redis.config_set("maxmemory", 0)
    assert await queue.replay([dying]) == 1
    assert await queue.cancel(dying)
    await check_drained(queue)


async def _use_up_the_memory(queue):
    """From now on the server has less memory than it uses."""
    await queue.redis.config_set("maxmemory", 1)


async def _ended(queue, count):
    now = await queue.statistics()
    return now.completed + now.failed == count
