"""A task's way from PENDING to its outcome when nothing goes wrong."""

from __future__ import annotations

import pytest

from botmetry import LogSettings, Telemetry
from midas.errors import ResultExpired, TaskFailed, TaskTimeout, TaskUnknown
from midas.queue import AITaskQueue, InvalidTask, LeaseLost, TaskStatus

HOUR = 3600.0


async def test_a_task_passes_through_its_states(queue):
    """A task is PENDING in line, PROCESSING at a worker and COMPLETED with its result."""
    task_id = await queue.enqueue_task("categorize", {"amount": "-3.20", "ids": [1, 2], "deep": {"x": None}})
    assert await queue.get_task_status(task_id) is TaskStatus.PENDING

    task = await queue.dequeue_task("worker-1")
    assert await queue.get_task_status(task_id) is TaskStatus.PROCESSING
    assert task.payload == {"amount": "-3.20", "ids": [1, 2], "deep": {"x": None}}
    assert (task.id, task.type, task.deliveries, task.worker_id) == (task_id, "categorize", 1, "worker-1")

    await queue.store_result(task, {"category": "Groceries"})
    assert await queue.get_task_status(task_id) is TaskStatus.COMPLETED
    assert await queue.get_result(task_id, timeout=0) == {"category": "Groceries"}


async def test_higher_priorities_go_first_and_equal_ones_in_order(queue):
    """The line is sorted by priority, and within one by arrival, also for tasks of the same millisecond."""
    arrivals = [(50, "a"), (100, "b"), (0, "c"), (50, "d"), (100, "e"), (51, "f"), (50, "g")]
    for priority, name in arrivals:
        await queue.enqueue_task("t", {"name": name}, priority=priority)

    served = [(await queue.dequeue_task("w")).payload["name"] for _ in arrivals]
    assert served == ["b", "e", "f", "a", "d", "g", "c"]
    assert await queue.dequeue_task("w") is None


async def test_a_failed_task_tells_why(queue):
    """The error of a task reaches whoever waits for it, and the task is FAILED."""
    task_id = await queue.enqueue_task("t", {})
    await queue.fail(await queue.dequeue_task("w"), ValueError("the amount is \ud800 no number"))

    assert await queue.get_task_status(task_id) is TaskStatus.FAILED
    with pytest.raises(TaskFailed, match="ValueError: the amount is") as failed:
        await queue.get_result(task_id)
    assert failed.value.task_id == task_id


async def test_a_timeout_reported_by_the_worker_is_a_timeout(queue):
    """An error that is a TimeoutError makes the task TIMEOUT, not FAILED."""
    task_id = await queue.enqueue_task("t", {})
    await queue.fail(await queue.dequeue_task("w"), TimeoutError("the model is slow"))

    assert await queue.get_task_status(task_id) is TaskStatus.TIMEOUT
    with pytest.raises(TaskTimeout, match="the model is slow"):
        await queue.get_result(task_id)


async def test_unknown_and_expired_are_different_answers(queue, clock):
    """A result is there for an hour, then known to have been there; an id never used is unknown."""
    task_id = await queue.enqueue_task("t", {})
    await queue.store_result(await queue.dequeue_task("w"), {"n": 1})

    clock.advance(HOUR - 1)
    assert await queue.get_result(task_id) == {"n": 1}
    clock.advance(2)
    for _ in range(2):  # before and after somebody swept it away
        with pytest.raises(ResultExpired):
            await queue.get_result(task_id)
        with pytest.raises(ResultExpired):
            await queue.get_task_status(task_id)
        await queue.recover()
    with pytest.raises(TaskUnknown):
        await queue.get_result("never-seen")
    with pytest.raises(TaskUnknown):
        await queue.get_task_status("never-seen")

    clock.advance(25 * HOUR)
    await queue.recover()
    with pytest.raises(TaskUnknown):
        await queue.get_task_status(task_id)


async def test_nothing_of_a_finished_task_stays_for_ever(queue, redis, clock):
    """After results and memories are over, a queue that did a thousand tasks leaves its counter and no more."""
    for number in range(1000):
        await queue.enqueue_task("t", {"n": number})
        await queue.store_result(await queue.dequeue_task("w"), {"n": number})
    clock.advance(2 * HOUR)
    await queue.recover()
    assert await redis.hlen("{q:ai}:results") <= 900  # in steps: one call never touches more than a hundred
    for _ in range(10):
        await queue.recover()
    clock.advance(25 * HOUR)
    for _ in range(11):
        await queue.recover()
    assert [key async for key in redis.scan_iter()] == [b"{q:ai}:sequence"]


async def test_the_same_id_twice_is_one_task(queue, metric):
    """A repeated enqueue changes nothing: not in line, not at a worker, not when done."""
    for _ in range(2):
        assert await queue.enqueue_task("t", {"n": 1}, task_id="once") == "once"
    assert await queue.get_queue_size() == 1
    task = await queue.dequeue_task("w")
    await queue.enqueue_task("t", {"n": 2}, task_id="once")
    await queue.store_result(task, {"n": 1})
    await queue.enqueue_task("t", {"n": 3}, task_id="once")

    assert await queue.get_queue_size() == 0
    assert await queue.get_result("once") == {"n": 1}
    assert metric("queue_tasks_enqueued_total", queue="ai", task="t") == 1


async def test_a_repeated_end_is_one_end(queue):
    """A worker whose reply was lost may repeat: the same end is accepted again, another is refused."""
    await queue.enqueue_task("t", {}, task_id="x")
    task = await queue.dequeue_task("w")
    await queue.store_result(task, {"n": 1})
    await queue.store_result(task, {"n": 1})

    with pytest.raises(LeaseLost):
        await queue.fail(task, "changed my mind")
    assert await queue.get_result("x") == {"n": 1}


async def test_clearing_answers_those_who_wait(queue):
    """clear_queue fails all waiting tasks, more than one step's worth, and leaves running ones alone."""
    running = await queue.enqueue_task("t", {}, priority=100)
    ids = [await queue.enqueue_task("t", {}) for _ in range(230)]
    task = await queue.dequeue_task("w")

    assert await queue.clear_queue() == 230
    assert await queue.get_queue_size() == 0
    with pytest.raises(TaskFailed, match="cleared"):
        await queue.get_result(ids[-1])
    await queue.store_result(task, {})
    assert await queue.get_result(running) == {}


async def test_the_state_is_measured_in_redis(queue, clock):
    """state() tells what is ready, in flight and dead, and how old the oldest waiting task is; zeros when empty."""
    empty = await queue.state()
    assert (empty.ready, empty.delayed, empty.in_flight, empty.dead, empty.oldest_age_seconds) == (
        0,
        0,
        0,
        0,
        0.0,
    )

    for priority in (10, 50, 90):
        await queue.enqueue_task("t", {}, priority=priority)
        clock.advance(2.5)
    await queue.dequeue_task("w")
    await queue.bury(await queue.dequeue_task("w"), "nobody knows it")
    state = await queue.state()
    assert (state.ready, state.in_flight, state.dead, state.oldest_age_seconds) == (1, 1, 1, 7.5)


async def test_dead_tasks_can_be_looked_at_and_purged(queue, metric):
    """A buried task answers its waiter, is listed with reason and body, counted, and can be thrown away."""
    task_id = await queue.enqueue_task("t", {"n": 1})
    await queue.bury(await queue.dequeue_task("w"), "no handler for t")

    with pytest.raises(TaskFailed, match="no handler for t"):
        await queue.get_result(task_id)
    [dead] = await queue.dead_tasks()
    assert (dead.id, dead.type, dead.reason, dead.deliveries) == (task_id, "t", "no handler for t", 1)
    assert b"\x01" in dead.body
    assert metric("queue_tasks_dead_lettered_total", queue="ai") == 1
    assert await queue.purge_dead() == 1
    assert await queue.dead_tasks() == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "cannot be decoded"),
        (b"\xc1 no message pack", "cannot be decoded"),
        (b"\x80", "cannot be decoded"),
        (b"\x81\xa1v\x01", "cannot be decoded"),
        (b"\x81\xa1v\x02", "version 2, and this program reads version 1"),
        (b"\x91" * 5000, "cannot be decoded"),
    ],
)
async def test_what_cannot_be_read_is_dead_and_the_next_task_served(queue, redis, body, reason):
    """A broken body, or one from the future, is put to the dead with its reason; the worker gets the next task."""
    broken = await queue.enqueue_task("t", {})
    await redis.hset("{q:ai}:bodies", broken, body)
    fine = await queue.enqueue_task("t", {})

    assert (await queue.dequeue_task("w")).id == fine
    [dead] = await queue.dead_tasks()
    assert dead.id == broken
    assert reason in dead.reason


async def test_half_deleted_tasks_do_not_stop_the_queue(queue, redis, clock):
    """When somebody deletes records by hand, the tasks are dropped and the others go on."""
    await queue.enqueue_task("t", {}, task_id="gone")
    await queue.enqueue_task("t", {}, task_id="taken")
    await queue.enqueue_task("t", {}, task_id="fine")
    await redis.hdel("{q:ai}:records", "gone")
    assert (await queue.dequeue_task("w")).id == "taken"
    await redis.hdel("{q:ai}:records", "taken")
    clock.advance(20)

    assert await queue.recover() == 0
    assert (await queue.dequeue_task("w")).id == "fine"


async def test_two_queues_do_not_see_each_other(redis):
    """Queues of different names share a server and nothing else."""
    one, two = AITaskQueue(redis, "one"), AITaskQueue(redis, "two")
    await one.enqueue_task("t", {})
    assert await two.dequeue_task("w") is None
    assert (await one.state()).ready == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"task_type": "Categorize It"},
        {"priority": 101},
        {"priority": -1},
        {"priority": True},
        {"priority": 1.5},
        {"timeout": 0.0},
        {"timeout": float("nan")},
        {"max_wait": -1.0},
        {"task_id": ""},
        {"task_id": "a b"},
        {"payload": {"x": object()}},
        {"payload": {"x": 2**70}},
        {"payload": {"x": "\ud800"}},
        {"payload": {"x": b"0" * 1_048_577}},
    ],
)
async def test_an_impossible_task_is_refused_and_not_sent(queue, wrong):
    """Wrong arguments are one clear error, and nothing gets in line."""
    with pytest.raises(InvalidTask):
        await queue.enqueue_task(**({"task_type": "t", "payload": {}} | wrong))
    assert await queue.get_queue_size() == 0


async def test_a_result_that_cannot_be_sent_leaves_the_task_to_its_owner(queue):
    """store_result refuses what MessagePack does not know, and the owner can still fail the task."""
    await queue.enqueue_task("t", {}, task_id="x")
    task = await queue.dequeue_task("w")
    with pytest.raises(InvalidTask, match="the result cannot be sent"):
        await queue.store_result(task, {"x": object()})
    await queue.fail(task, "no usable result")
    assert await queue.get_task_status("x") is TaskStatus.FAILED


async def test_a_client_that_decodes_is_refused(redis_url):
    """Bodies are bytes; a client that decodes them is an error at once."""
    from redis.asyncio import Redis  # noqa: PLC0415 -- beside the only test that needs it

    async with Redis.from_url(redis_url, decode_responses=True) as client:
        with pytest.raises(ValueError, match="decode_responses"):
            AITaskQueue(client)


async def test_trace_and_log_context_travel_with_the_task(redis, tmp_path):
    """What is bound where a task is enqueued is bound where it runs, under the same trace."""
    telemetry = Telemetry(service="queue-test", log=LogSettings(output=str(tmp_path / "log.jsonl")))
    queue = AITaskQueue(redis, telemetry=telemetry)
    with telemetry.context(user_id=7), telemetry.bot.command("import"):
        await queue.enqueue_task("t", {})
        sent = telemetry.carrier()

    task = await queue.dequeue_task("w")
    with telemetry.continue_from(task.carrier), telemetry.queue.task("ai", "t"):
        received = telemetry.carrier()
    telemetry.close()
    assert received["traceparent"].split("-")[1] == sent["traceparent"].split("-")[1]
    assert '"user_id":7' in received["botmetry-context"].replace(" ", "")
