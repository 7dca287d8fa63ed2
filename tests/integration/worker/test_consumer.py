"""The consumer runs a few tasks at a time, and nothing that a task does ends it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from functools import partial

import pytest

from midas.errors import StoreUnavailable, TaskFailed, TaskTimeout
from midas.queue import LeaseKeeper, TaskStatus
from midas.redis import connect_from_thread
from midas.worker.blocking import in_thread
from midas.worker.consumer import Consumer
from midas.worker.store_gate import StoreGate


class Store:
    """Says whether PostgreSQL answers."""

    def __init__(self) -> None:
        self.is_there = True

    def error(self) -> StoreUnavailable:
        return StoreUnavailable("127.0.0.1:5432/midas", "Connection refused")

    async def check(self) -> None:
        if not self.is_there:
            raise self.error()


class Running:
    """A consumer at work, and how to stop it."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.stop, self.hurry = asyncio.Event(), asyncio.Event()
        self.work: asyncio.Task[None] | None = None

    async def ends(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.work, 120)


@pytest.fixture(name="store")
def _store():
    return Store()


@pytest.fixture(name="consuming")
def _consuming(queue, telemetry, redis_url, store):
    """Run a consumer with the given handlers for the time of a `with` block."""

    @asynccontextmanager
    async def run(handlers, **options):
        gate = StoreGate(store.check, telemetry)
        consumer = Consumer(queue, handlers, gate, telemetry, worker_id="w-1", **options)
        running = Running(consumer)
        loop = asyncio.get_running_loop()
        lost = partial(loop.call_soon_threadsafe, consumer.lose)
        with LeaseKeeper(connect_from_thread(redis_url), queue.moves, queue.availability, lost) as keeper:
            running.work = asyncio.create_task(consumer.run(keeper, running.stop, running.hurry))
            yield running
            running.hurry.set()
            await running.ends()
        await gate.aclose()

    return run


async def test_results_reach_those_who_wait(queue, consuming, metric):
    """Every task is run by its type's handler, its result stored, and its run counted with its wait."""

    async def double(task):
        return {"n": task.payload["n"] * 2}

    async with consuming({"double": double}):
        ids = [await queue.enqueue_task("double", {"n": n}) for n in range(50)]
        results = await asyncio.gather(*(queue.get_result(task_id) for task_id in ids))
    assert [result["n"] for result in results] == [n * 2 for n in range(50)]
    assert metric("queue_tasks_completed_total", queue="ai", task="double", outcome="ok") == 50
    assert metric("queue_task_duration_seconds_count", queue="ai", task="double") == 50
    assert metric("queue_task_wait_seconds_count", queue="ai") == 50


async def test_no_more_than_its_slots_run_at_once(queue, consuming, until):
    """Three slots run three tasks; the others wait in Redis, where other workers can have them."""
    running, most, release = set(), 0, asyncio.Event()

    async def slow(task):
        nonlocal most
        running.add(task.id)
        most = max(most, len(running))
        await release.wait()
        running.discard(task.id)
        return {}

    ids = [await queue.enqueue_task("slow", {}) for _ in range(8)]
    async with consuming({"slow": slow}, concurrency=3):
        await until(lambda: len(running) == 3)
        state = await queue.state()
        assert (state.ready, state.in_flight) == (5, 3)
        release.set()
        await asyncio.gather(*(queue.get_result(task_id) for task_id in ids))
    assert most == 3


async def test_a_failing_task_fails_alone(queue, consuming, metric):
    """Whatever a handler raises fails its task with the reason, and the next one runs."""

    async def breaks(task):
        raise {"value": ValueError, "lookup": KeyError, "os": OSError}[task.payload["how"]]("broken")

    async def works(task):
        return {}

    async with consuming({"breaks": breaks, "works": works}, concurrency=1):
        for how in ("value", "lookup", "os"):
            with pytest.raises(TaskFailed, match="broken"):
                await queue.get_result(await queue.enqueue_task("breaks", {"how": how}))
        assert await queue.get_result(await queue.enqueue_task("works", {})) == {}
    assert metric("queue_tasks_completed_total", task="breaks", outcome="error") == 3


async def test_a_type_nobody_knows_is_a_dead_letter(queue, consuming, metric):
    """A task without a handler is kept among the dead, and its waiter told."""
    async with consuming({}):
        with pytest.raises(TaskFailed, match="no worker knows how to do 'dance'"):
            await queue.get_result(await queue.enqueue_task("dance", {}))
    assert [dead.type for dead in await queue.dead_tasks()] == ["dance"]
    assert metric("queue_tasks_dead_lettered_total", queue="ai") == 1


async def test_a_result_that_cannot_be_sent_fails_the_task(queue, consuming):
    """A handler that gives something MessagePack does not know fails its task, with the reason."""

    async def strange(task):
        return {"x": object()}

    async with consuming({"strange": strange}):
        with pytest.raises(TaskFailed, match="the result cannot be sent"):
            await queue.get_result(await queue.enqueue_task("strange", {}))


async def test_a_task_that_takes_too_long_is_stopped(queue, consuming, metric):
    """At the end of its time a task is cancelled, TIMEOUT, and counted as such."""
    stopped = asyncio.Event()

    async def endless(task):
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with consuming({"endless": endless}):
        task_id = await queue.enqueue_task("endless", {}, timeout=1.0, max_wait=60)
        with pytest.raises(TaskTimeout):
            await queue.get_result(task_id)
        await asyncio.wait_for(stopped.wait(), 60)
        assert await queue.get_task_status(task_id) is TaskStatus.TIMEOUT
        with pytest.raises(TaskTimeout, match=r"after 1 s|longer than 1 s"):  # whoever noticed first
            await queue.get_result(task_id)
    assert metric("queue_tasks_completed_total", task="endless", outcome="timeout") == 1


async def test_blocking_work_leaves_the_loop_and_keeps_its_slot(queue, consuming, until):
    """A blocking function runs in a thread with the task's context; past its time it still has its slot."""
    entered, release, other_ran = threading.Event(), threading.Event(), asyncio.Event()

    def block():
        entered.set()
        assert release.wait(120)

    async def blocking(task):
        await in_thread(block)
        return {}

    async def quick(task):
        other_ran.set()
        return {}

    async with consuming({"blocking": blocking, "quick": quick}, concurrency=1):
        task_id = await queue.enqueue_task("blocking", {}, timeout=2.0, max_wait=60)
        await until(entered.is_set)  # the loop runs, or this would not return
        with pytest.raises(TaskTimeout):
            await queue.get_result(task_id)
        await queue.enqueue_task("quick", {})
        assert not other_ran.is_set()
        release.set()
        await asyncio.wait_for(other_ran.wait(), 60)


async def test_what_a_thread_raises_is_the_tasks_error():
    """in_thread gives results and errors of the function, also those that a future cannot carry."""
    assert await in_thread(lambda x, y: x + y, 1, y=2) == 3
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await in_thread(next, iter(()))
    with pytest.raises(RuntimeError, match="SystemExit"):
        await in_thread(exit, 3)


async def test_tasks_wait_while_postgresql_is_away(queue, consuming, store, until, log):
    """A task that finds PostgreSQL away goes back in line, nothing more is taken, and all is done when it returns."""

    async def reads(task):
        if not store.is_there:
            raise store.error()
        return {}

    store.is_there = False
    ids = [await queue.enqueue_task("reads", {}, max_wait=300) for _ in range(20)]
    async with consuming({"reads": reads}, concurrency=4) as running:
        await until(lambda: log.events("store.lost"))
        await until(lambda: _state_is(queue, ready=20, in_flight=0))
        with pytest.raises(RuntimeError, match="PostgreSQL is away"):
            running.consumer.check()
        store.is_there = True
        await asyncio.gather(*(queue.get_result(task_id) for task_id in ids))
        running.consumer.check()
    await until(lambda: log.events("store.found"))
    assert len(log.events("store.lost")) == len(log.events("store.found")) == 1
    assert len(log.events("queue.task_finished")) <= 20 + 4  # only those that ran when it went away ran twice


async def test_stopping_finishes_what_runs_and_takes_no_more(queue, consuming, until):
    """Told to stop, a consumer ends its running task well and leaves the rest in line."""
    started, release = asyncio.Event(), asyncio.Event()

    async def slow(task):
        started.set()
        await release.wait()
        return {"done": True}

    first = await queue.enqueue_task("slow", {})
    async with consuming({"slow": slow}, concurrency=1) as running:
        await asyncio.wait_for(started.wait(), 60)
        second = await queue.enqueue_task("slow", {})
        ending = asyncio.create_task(running.ends())
        await until(running.stop.is_set)
        release.set()
        await ending
    assert await queue.get_result(first) == {"done": True}
    assert await queue.get_task_status(second) is TaskStatus.PENDING


@pytest.mark.parametrize("because", ["deadline", "second signal"])
async def test_what_cannot_be_finished_is_given_back_at_once(queue, consuming, because):
    """After the deadline, or at the second signal, running tasks are in line again for others, at no cost."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(task):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    task_id = await queue.enqueue_task("endless", {})
    async with consuming(
        {"endless": endless}, drain_seconds=0.1 if because == "deadline" else 600.0
    ) as running:
        await asyncio.wait_for(started.wait(), 60)
        if because == "second signal":
            running.hurry.set()
        await running.ends()
        assert cancelled.is_set()
    again = await queue.dequeue_task("other")
    assert (again.id, again.deliveries) == (task_id, 1)


async def test_a_task_given_to_another_is_stopped(queue, consuming, redis, until, log):
    """When its lease was lost, a task is cancelled here, and what it would have said is not said."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(task):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with consuming({"endless": endless}, concurrency=1):
        # And so a lease of five seconds: that it was lost is noticed long before its time is over.
        task_id = await queue.enqueue_task("endless", {}, timeout=10.0, max_wait=60)
        await asyncio.wait_for(started.wait(), 60)

        async def lapses():
            """As if nobody had renewed it; it may be renewed in between."""
            await redis.zadd("{q:ai}:in_flight", {task_id: 1})
            return await queue.recover() == 1

        await until(lapses)
        await asyncio.wait_for(cancelled.wait(), 60)
    await until(lambda: log.events("worker.task_lost"))


async def test_log_lines_of_a_task_carry_the_context_of_its_origin(queue, consuming, log, telemetry):
    """Trace, user, task and type of the enqueuer are on every line that the task logs, here and in threads."""

    async def talks(task):
        telemetry.log.info("test.from_the_loop")
        await in_thread(telemetry.log.info, "test.from_a_thread")
        return {}

    async with consuming({"talks": talks}):
        with telemetry.context(user_id=7), telemetry.bot.command("import"):
            telemetry.log.info("test.enqueuing")
            task_id = await queue.enqueue_task("talks", {"user_id": 7})
        await queue.get_result(task_id)
    telemetry.close()
    [origin] = log.events("test.enqueuing")
    lines = log.events("test.from_the_loop", "test.from_a_thread", "queue.task_finished")
    assert len(lines) == 3
    for line in lines:
        assert line["trace_id"] == origin["trace_id"]
        assert (line["user_id"], line["task_id"], line["task_type"]) == (7, task_id, "talks")
        assert line["worker_id"] == "w-1"


async def _state_is(queue, **expected):
    state = await queue.state()
    return all(getattr(state, name) == value for name, value in expected.items())
