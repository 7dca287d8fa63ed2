"""A process may die at any call to Redis, before it or after it: nothing is lost, and nothing ends twice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest

from midas.errors import QueueUnavailable, TaskUnknown
from midas.queue import Limit, NewTask, TaskPriority, TaskStatus, Worker
from midas.queue.streams import reader as reader_module
from midas.queue.streams import settlements
from midas.queue.streams.reader import Reader
from midas.redis import end

from .ground import check_consistent, check_drained, run_all, snapshot, until

LEASE = 30.0
SETTINGS = {
    "lease_seconds": LEASE,
    "retry_seconds": 0.0,
    "limits": {"limited": Limit(concurrency=1), "paced": Limit(per_second=1.0)},
}
NEWS = [
    NewTask("t", priority=TaskPriority.CRITICAL, task_id="done"),
    NewTask("t", priority=TaskPriority.CRITICAL, task_id="again", unique_key="u"),
    NewTask("t", priority=TaskPriority.CRITICAL, task_id="dead", unique_key="v"),
    NewTask("t", priority=TaskPriority.CRITICAL, task_id="told"),
    NewTask("t", priority=TaskPriority.LOW, task_id="waiting", unique_key="w"),
    NewTask("t", task_id="delayed", delay=10),
    NewTask("t", task_id="unwanted", delay=10),
    *(NewTask("limited", task_id=f"limited-{n}") for n in range(3)),
    *(NewTask("paced", task_id=f"paced-{n}") for n in range(3)),
]


class Died(BaseException):
    """The process is no more."""


def mortal(queue, fatal, moment):
    """Have a process die at one of its calls, counted from 1; after that nothing it does reaches Redis."""
    send, calls = queue._sender.send, []

    async def send_or_die(call, *, within):
        calls.append(call.script.name)
        if len(calls) > fatal or (len(calls) == fatal and moment == "before"):
            raise Died
        reply = await send(call, within=within)
        if len(calls) == fatal:
            raise Died
        return reply

    queue._sender.send = send_or_die
    return calls


def _reader(queue, name):
    """Give a reader that nobody renews the lease of."""
    return Reader(queue, name, on_taken_away=lambda task: None, on_cancelled=lambda task: None)


async def _story(queue, clock):
    """Do everything that a process does with a queue."""
    await queue.add_tasks(NEWS)
    reader, other = _reader(queue, "w"), _reader(queue, "other")
    tasks = {task.id: task for task in await reader.take(4)}
    reader.settle(tasks["done"], settlements.completed(tasks["done"], 1))
    reader.settle(tasks["again"], settlements.retried(tasks["again"], "again", 5.0))
    reader.settle(tasks["dead"], settlements.buried(tasks["dead"], "dead", ""))
    await reader.flush()
    await queue.cancel("told")
    await queue.cancel("waiting")
    await queue.cancel("unwanted")
    reader.settle(tasks["told"], settlements.returned(tasks["told"]))
    await reader.flush()
    clock.advance(11)
    await other.take(3)
    clock.advance(LEASE - 1)
    await queue.send(queue.calls.renew(reader.name))
    clock.advance(2)
    await queue.recover()
    for task in await reader.take(3, 10):
        reader.settle(task, settlements.completed(task, 2))
    await reader.flush()
    await queue.replay()
    for task in await reader.take(5):
        reader.settle(task, settlements.buried(task, "dead", ""))
    await reader.flush()
    await queue.purge()
    await queue.send(queue.calls.leave(reader.name))


async def _clean_up(queue, clock):
    """Another process finds what is left, and completes all of it."""
    for number in range(30):
        clock.advance(LEASE + 1)
        await queue.recover()
        reader = _reader(queue, f"survivor-{number}")
        while tasks := await reader.take(10):
            for task in tasks:
                reader.settle(task, settlements.completed(task, 3))
            await reader.flush()
        if not (await snapshot(queue)).live:
            return
    raise AssertionError("tasks are left that nobody can get at")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_death_at_any_call_loses_nothing(make_queue, clock, moment):
    """At whichever call a process dies, another ends every task, each once, and nothing is left of the bookkeeping."""
    for fatal in itertools.count(1):
        mine, other = await make_queue(clock, **SETTINGS), await make_queue(clock, **SETTINGS)
        await mine.redis.flushall()
        calls = mortal(mine, fatal, moment)
        with contextlib.suppress(Died):
            await _story(mine, clock)
        await check_consistent(other)
        await _clean_up(other, clock)
        now = await check_drained(other)
        assert now.ends() >= len(NEWS) or (fatal, moment) == (1, "before")
        for new in NEWS:
            if now.stats["added"]:
                assert await other.get_task_status(new.task_id) in {"COMPLETED", "FAILED", "CANCELLED"}
            else:
                with pytest.raises(TaskUnknown):
                    await other.get_task_status(new.task_id)
        if len(calls) < fatal:
            break
    assert {"add", "take", "settle", "cancel", "renew", "survey", "dead", "replay", "purge", "leave"} <= {
        *calls
    }
    assert fatal > 20


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_worker_that_is_cut_off_at_any_call_loses_nothing(make_queue, clock, monkeypatch, moment):
    """A real worker whose connection is gone for good at any of its calls is replaced, and every task ends once."""
    monkeypatch.setattr(reader_module, "ReaderLease", lambda *args, **kwargs: contextlib.nullcontext())
    monkeypatch.setattr(reader_module, "connect_from_thread", lambda url: None)
    monkeypatch.setattr(reader_module, "_LAST_WORDS_SECONDS", 0.01)
    handlers = {"t": lambda payload: 1, "limited": lambda payload: 2, "once_more": _once_more, "fail": _fail}
    expected = dict.fromkeys(handlers, TaskStatus.COMPLETED) | {"fail": TaskStatus.FAILED}
    other = await make_queue(clock, **SETTINGS)
    for fatal in itertools.count(1):
        mine = await make_queue(clock, **SETTINGS)
        await mine.redis.flushall()
        ids = await other.add_tasks([NewTask(kind, max_retries=1) for kind in handlers for _ in range(3)])
        is_cut_off = cut_off(mine, fatal, moment)
        run = asyncio.create_task(
            Worker(mine, handlers, concurrency=4, drain_seconds=0).run(until_empty=True)
        )
        await until(lambda: run.done() or is_cut_off.is_set())  # noqa: B023 -- of this round
        await end(run)
        clock.advance(LEASE + 1)
        await other.recover()
        await run_all(other, handlers)
        now = await check_drained(other)
        assert now.ends() == now.stats["added"] == len(ids)
        assert [await other.get_task_status(task_id) for task_id in ids] == [
            expected[kind] for kind in handlers for _ in range(3)
        ]
        if not is_cut_off.is_set():
            break
    assert fatal > 5


def cut_off(queue, fatal, moment):
    """Have a process lose Redis for good at one of its calls, counted from 1."""
    send, count, is_cut_off = queue._sender.send, itertools.count(1), asyncio.Event()

    async def send_or_lose(call, *, within):
        number = next(count)
        if number == fatal and moment == "after":
            await send(call, within=within)
        if number >= fatal:
            is_cut_off.set()
            raise QueueUnavailable("redis", "cut off")
        return await send(call, within=within)

    queue._sender.send = send_or_lose
    return is_cut_off


def _once_more(task):
    if not task.head.retries:
        raise ValueError("once more")


def _fail(payload):
    raise ValueError("always")
