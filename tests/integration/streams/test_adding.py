"""What is added is there once, with what it was added with; what is impossible is refused before it is sent."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime, timedelta

import pytest

from midas.errors import ResultExpired, TaskUnknown
from midas.queue import InvalidTask, NewTask, QueueFull, TaskPriority, TaskStatus, Worker

from .ground import check_drained, run_all


async def test_a_task_arrives_with_everything_it_was_added_with(queue):
    """Payload, priority, timeout and id reach the handler; what it gives reaches whoever asks."""
    seen = []

    async def handler(task):
        seen.append(task)
        return {"n": task.payload["n"] + 1, "bytes": b"\x00\xff"}

    payload = {"n": 1, "deep": {"list": [1.5, None, True, "é", b"\x00"]}}
    task_id = await queue.add_task("t", payload, TaskPriority.HIGH, timeout=12.5, task_id="mine:1")
    assert task_id == "mine:1"
    assert await queue.get_task_status(task_id) is TaskStatus.PENDING
    await Worker(queue, {"t": handler}, worker_id="w-1").run(until_empty=True)

    (task,) = seen
    assert (task.id, task.type, task.payload, task.priority) == ("mine:1", "t", payload, TaskPriority.HIGH)
    assert (task.timeout, task.attempt, task.worker_id) == (12.5, 1, "w-1")
    assert 0 <= task.waited_seconds < 10
    assert await queue.get_task_status(task_id) is TaskStatus.COMPLETED
    assert await queue.get_result(task_id, 0) == {"n": 2, "bytes": b"\x00\xff"}
    await check_drained(queue)


async def test_many_are_added_in_order(queue):
    """add_tasks gives the ids in the order of the tasks, over several calls, and they are served in that order."""
    served = []

    async def handler(payload):
        served.append(payload["n"])

    ids = await queue.add_tasks([NewTask("t", {"n": n}) for n in range(1_200)])
    assert len(set(ids)) == 1_200
    assert (await queue.statistics()).added == 1_200
    await Worker(queue, {"t": handler}, concurrency=1).run(until_empty=True)
    assert served == list(range(1_200))
    await check_drained(queue)


async def test_what_many_callers_add_at_once_goes_in_few_calls(queue):
    """A hundred concurrent add_task calls are a handful of script calls, and each caller gets its own id."""
    await queue.add_task("t")
    before = (await queue.redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    ids = await asyncio.gather(*(queue.add_task("t", {"n": n}) for n in range(100)))
    after = (await queue.redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert len(set(ids)) == 100
    assert after - before <= 3


@pytest.mark.parametrize("together", [True, False])
async def test_large_ones_go_in_more_calls(queue, together):
    """Tasks of a megabyte, of one caller or of many, go as few in a call as Redis takes in within a moment."""
    await queue.add_task("t")
    before = (await queue.redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    payload = {"x": b"0" * 1_000_000}
    if together:
        ids = await queue.add_tasks([NewTask("t", payload) for _ in range(40)])
    else:
        ids = await asyncio.gather(*(queue.add_task("t", payload) for _ in range(40)))
    after = (await queue.redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert len(set(ids)) == 40
    assert 5 <= after - before <= 12
    assert (await queue.statistics()).ready == 41


@pytest.mark.parametrize(
    "arguments",
    [
        {"task_type": "No Good"},
        {"task_type": 3},
        {"priority": 42},
        {"payload": ["no", "dict"]},
        {"payload": []},
        {"payload": {1: "a key that is no string"}},
        {"payload": {"x": object()}},
        {"payload": {"x": "\udc00"}},
        {"payload": {"x": 2**80}},
        {"payload": {"x": b"0" * 1_100_000}},
        {"delay": -1.0},
        {"delay": math.nan},
        {"delay": 1e12},
        {"delay": timedelta(seconds=3)},
        {"at": 3},
        {"at": datetime(2027, 1, 1)},  # noqa: DTZ001 -- that is what is refused
        {"at": datetime(9999, 1, 1, tzinfo=UTC)},
        {"timeout": 0.0},
        {"timeout": math.inf},
        {"timeout": "3"},
        {"expires": -1.0},
        {"unique_key": ""},
        {"unique_key": 7},
        {"unique_key": "x" * 300},
        {"unique_key": "\udc00"},
        {"task_id": "no id"},
        {"task_id": 7},
        {"max_retries": -1},
        {"max_retries": True},
        {"max_retries": 10**30},
    ],
    ids="-".join,
)
async def test_an_impossible_task_is_refused(queue, arguments):
    """What could never run raises InvalidTask where it is added, and nothing is sent, not even its neighbours."""
    new = {"task_type": "t", "payload": {}} | arguments
    with pytest.raises(InvalidTask):
        await queue.add_task(**new)
    with pytest.raises(InvalidTask):
        await queue.add_tasks([NewTask("t"), NewTask(**new)])
    assert (await queue.statistics()).added == 0


async def test_a_known_id_is_not_added_again(make_queue, clock):
    """An idempotency key counts while the task lives and for a day after; whoever repeats gets the same id."""
    queue = await make_queue(clock, result_ttl=3600.0)
    assert [await queue.add_task("t", task_id="k") for _ in range(3)] == ["k"] * 3
    assert (await queue.statistics()).added == 1
    await Worker(queue, {"t": lambda payload: 1}).run(until_empty=True)
    assert await queue.add_task("t", task_id="k") == "k"
    await queue.redis.delete(f"{queue.keys.tag}result:k")
    with pytest.raises(ResultExpired):
        await queue.get_result("k", 0)
    clock.advance(86_401)
    await queue.add_task("t", task_id="k")
    assert (await queue.statistics()).added == 2
    assert await queue.get_task_status("k") is TaskStatus.PENDING


async def test_an_id_that_is_given_twice_in_one_call_is_one_task(make_queue):
    """Where ids are remembered for no time at all, too, there is one live task of each."""
    queue = await make_queue(known_seconds=0)
    assert await queue.add_tasks([NewTask("t", task_id="k"), NewTask("t", task_id="k")]) == ["k", "k"]
    assert (await queue.statistics()).added == 1


async def test_a_unique_key_is_held_until_the_end(queue):
    """While a task with a unique key lives, another is not added; afterwards it is."""
    outcomes = {"done": lambda payload: 1, "bad": _raise}
    for task_type in (*outcomes, "cancelled"):
        first = await queue.add_task(task_type, unique_key="only", max_retries=0)
        others = [await queue.add_task("t", unique_key="only", delay=n) for n in range(2)]
        assert others == [first, first]
        if task_type == "cancelled":
            assert await queue.cancel(first)
        else:
            await Worker(queue, outcomes).run(until_empty=True)
    assert (await check_drained(queue)).stats["added"] == 3


async def test_an_id_beside_a_taken_unique_key_stays_free(queue):
    """A task that was not added because of its unique key does not count as known: its id can be used later."""
    first = await queue.add_task("t", unique_key="k")
    assert await queue.add_task("t", unique_key="k", task_id="mine") == first
    with pytest.raises(TaskUnknown):
        await queue.get_task_status("mine")
    await queue.cancel(first)
    assert await queue.add_task("t", unique_key="k", task_id="mine") == "mine"
    assert await queue.get_task_status("mine") is TaskStatus.PENDING


async def test_a_repeated_call_adds_nothing(queue):
    """An add whose reply was lost, and that the client repeats, adds its tasks once, also when they have ended."""
    send = queue._sender.send

    async def send_twice(call, *, within):
        await send(call, within=within)
        queue._sender.send = send
        await Worker(queue, {"t": lambda payload: 1}).run(until_empty=True)
        return await send(call, within=within)

    taken = await queue.add_task("later", unique_key="taken", delay=1_000)
    queue._sender.send = send_twice
    news = [
        NewTask("t"),
        NewTask("t", task_id="given"),
        NewTask("t", unique_key="u"),
        NewTask("t", unique_key="taken"),
    ]
    *ids, there = await queue.add_tasks(news)
    assert there == taken
    assert [await queue.get_result(task_id, 0) for task_id in ids] == [1, 1, 1]
    await queue.cancel(taken)
    assert (await check_drained(queue)).stats["added"] == 4


async def test_a_full_queue_refuses(make_queue):
    """Past max_waiting nothing is added; what runs does not count, what is delayed does."""
    queue = await make_queue(max_waiting=3)
    await queue.add_tasks([NewTask("t"), NewTask("t", delay=1_000)])
    with pytest.raises(QueueFull, match="3 tasks may wait, and 2 of 3 were not added") as refusal:
        await queue.add_tasks([NewTask("t", task_id=task_id) for task_id in ("x", "y", "z")])
    assert refusal.value.ids == ("x", None, None)
    with pytest.raises(QueueFull):
        await queue.add_task("t")
    async with asyncio.timeout(30):
        async for _message_id, _task in queue.consume_tasks("w"):
            await queue.add_task("t")  # one is in flight now
            with pytest.raises(QueueFull):
                await queue.add_task("t")
            break


async def test_only_what_finds_no_room_is_refused(make_queue):
    """Of callers that add at the same time as many succeed as there is room; what is there already is never refused."""
    queue = await make_queue(max_waiting=10)
    replies = await asyncio.gather(
        *(queue.add_task("t", unique_key=f"u-{n}") for n in range(12)), return_exceptions=True
    )
    ids = [reply for reply in replies if isinstance(reply, str)]
    assert len(ids) == 10
    assert all(isinstance(reply, QueueFull) for reply in replies[10:])
    assert await queue.add_task("t", unique_key="u-3") == ids[3]
    await queue.cancel(ids[0])
    await queue.add_task("t", task_id="mine")
    assert await queue.add_task("t", task_id="mine") == "mine"
    with pytest.raises(QueueFull) as refusal:
        await queue.add_tasks(
            [NewTask("t", unique_key="new"), NewTask("t", task_id="mine"), NewTask("t", unique_key="u-5")]
        )
    assert refusal.value.ids == (None, "mine", ids[5])
    await queue.cancel("mine")
    assert await queue.add_task("t", unique_key="new") not in ids
    await Worker(queue, {"t": lambda payload: 1}).run(until_empty=True)
    await check_drained(queue)


async def test_a_repeated_call_says_again_what_was_refused(make_queue):
    """An add whose reply was lost tells the same of each task, also where only some of them had found room."""
    queue = await make_queue(max_waiting=2)
    send = queue._sender.send

    async def send_twice(call, *, within):
        await send(call, within=within)
        queue._sender.send = send
        await Worker(queue, {"t": lambda payload: 1}).run(until_empty=True)
        return await send(call, within=within)

    queue._sender.send = send_twice
    with pytest.raises(QueueFull) as refusal:
        await queue.add_tasks([NewTask("t", task_id=task_id, unique_key=task_id) for task_id in "abcd"])
    assert refusal.value.ids == ("a", "b", None, None)
    assert (await check_drained(queue)).stats["added"] == 2


async def test_delayed_tasks_run_when_they_are_due(make_queue, clock):
    """A task is held back until its delay or moment has come, and not longer; statistics say when the next is due."""
    queue = await make_queue(clock)
    ran = []
    await queue.add_task("t", {"n": 60}, delay=60)
    await queue.add_task("t", {"n": 30}, delay=30)
    now = datetime.fromtimestamp(clock(), UTC)
    await queue.add_task("t", {"n": 90}, at=now + timedelta(seconds=90))
    await queue.add_task("t", {"n": 0}, at=now - timedelta(days=1))

    for seconds, expected in ((0, [0]), (29, [0]), (2, [0, 30]), (60, [0, 30, 60, 90])):
        clock.advance(seconds)
        await run_all(queue, {"t": lambda payload: ran.append(payload["n"])}, concurrency=1)
        assert ran == expected
        due = (await queue.statistics()).next_due_seconds
        assert due is None or 0 < due <= 60
    await check_drained(queue)


async def test_the_servers_clock_says_when_a_moment_has_come(queue, monkeypatch):
    """A producer whose clock is an hour slow adds a task for a moment, and the task is due at that moment."""
    seconds, _ = await queue.redis.time()
    monkeypatch.setattr(time, "time", lambda: seconds - 3_600)
    await queue.add_task("t", at=datetime.fromtimestamp(seconds + 100, UTC))
    due = (await queue.statistics()).next_due_seconds
    assert 90 < due <= 100
    await queue.add_task("t", at=datetime.fromtimestamp(seconds - 1, UTC))
    assert (await queue.statistics()).ready == 1


async def test_a_moment_counts_for_the_expiry_by_the_queues_clock(make_queue, clock):
    """An expiry counts from the moment for which a task was added, and a moment long ago is now."""
    queue = await make_queue(clock)
    ran = []
    for n, seconds in enumerate((100, -100_000)):
        at = datetime.fromtimestamp(clock() + seconds, UTC)
        await queue.add_task("t", {"n": n}, at=at, expires=10)
    await run_all(queue, {"t": lambda payload: ran.append(payload["n"])})
    assert ran == [1]
    clock.advance(105)
    await run_all(queue, {"t": lambda payload: ran.append(payload["n"])})
    assert ran == [1, 0]
    await check_drained(queue)


async def test_a_task_that_is_not_begun_in_time_is_a_timeout(make_queue, clock):
    """An expiry counts from when the task may run until its first run, a delay not included."""
    queue = await make_queue(clock)
    ran = []
    ids = await queue.add_tasks(
        [
            NewTask("t", {"n": 1}, expires=10),
            NewTask("t", {"n": 2}, expires=1_000),
            NewTask("t", {"n": 3}, expires=10, delay=495),
        ]
    )
    clock.advance(500)
    await Worker(queue, {"t": lambda payload: ran.append(payload["n"])}).run(until_empty=True)
    assert sorted(ran) == [2, 3]
    assert await queue.get_task_status(ids[0]) is TaskStatus.TIMEOUT
    assert (await check_drained(queue)).stats["TIMEOUT"] == 1


async def test_everything_has_the_queues_hash_tag(queue):
    """All keys of a queue carry one hash tag, so that a cluster keeps them together."""
    await queue.add_tasks(
        [NewTask("t", task_id="k", unique_key="u", delay=5), NewTask("t", max_retries=0), NewTask("x")]
    )
    await run_all(queue, {"t": _raise})
    assert all(key.startswith(b"{q:tasks}:") for key in await queue.redis.keys("*"))


def _raise(payload):
    raise ValueError("no")
