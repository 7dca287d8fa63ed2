"""A worker runs every kind of handler, and whatever one does, it ends its own task and nothing else."""

from __future__ import annotations

import asyncio
import operator
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from datetime import timedelta
from functools import partial

import pytest

from midas.errors import ResultExpired, TaskFailed, TaskTimeout, TaskUnknown
from midas.queue import Batch, GiveUp, NewTask, Retry, TaskQueue, TaskStatus, Worker
from midas.queue.streams import settlements
from midas.queue.streams.reader import Reader

from .ground import at_work, check_drained, run_all, until

UNKNOWN_ID = "0" * 28


class _SpeechlessError(Exception):
    def __str__(self):
        raise RuntimeError("not even that")


class _Callable:
    async def __call__(self, payload):
        return payload["n"]


async def _async(payload):
    return payload["n"]


async def _whole(task):
    return task.payload["n"]


def _in_thread(payload):
    assert threading.current_thread() is not threading.main_thread()
    return payload["n"]


def _whole_in_thread(task):
    return task.payload["n"]


@pytest.mark.parametrize(
    "handler", [_async, _whole, _in_thread, _whole_in_thread, _Callable(), operator.itemgetter("n")]
)
async def test_every_kind_of_handler(queue, handler):
    """Async and plain functions and objects, of the payload or of the task, give the task its result."""
    task_id = await queue.add_task("t", {"n": 7})
    await Worker(queue, {"t": handler}).run(until_empty=True)
    assert await queue.get_result(task_id, 0) == 7
    await check_drained(queue)


async def test_a_handler_that_is_none_is_refused(queue):
    """What cannot be called, and a batch that could never be full, are refused when the worker is made."""
    with pytest.raises(TypeError, match="a handler is a function"):
        Worker(queue, {"t": 3})
    with pytest.raises(ValueError, match="a batch of 100 cannot be had"):
        Worker(queue, {"t": Batch(_async)}, concurrency=10)
    with pytest.raises(ValueError, match="1 or more"):
        Worker(queue, {}, concurrency=0)


def _exit(payload):
    raise SystemExit(3)


async def _cancel_oneself(payload):
    raise asyncio.CancelledError


async def _await_what_was_cancelled(payload):
    other = asyncio.create_task(asyncio.sleep(10))
    other.cancel()
    await other


def _speechless(payload):
    raise _SpeechlessError


async def _surrogates(payload):
    raise ValueError("half a \udc00 character")


async def _unsendable(payload):
    return object()


async def _text_of_a_header(payload):
    raise Retry("429", delay="30")


async def _changed_pause(payload):
    error = Retry("soon")
    error.delay = 1e17
    raise error


class _ImpossibleError(Retry):
    delay = property(lambda self: 1 / 0, lambda self, value: None)


async def _impossible(payload):
    raise _ImpossibleError


@pytest.mark.parametrize(
    "handler",
    [
        _exit,
        _cancel_oneself,
        _await_what_was_cancelled,
        _speechless,
        _surrogates,
        _unsendable,
        _text_of_a_header,
        _changed_pause,
        _impossible,
    ],
)
async def test_whatever_a_handler_does_fails_its_task_only(queue, handler):
    """An exit, a cancellation of its own, an error without text, an unsendable result: it fails, others go on."""
    bad = await queue.add_task("bad", max_retries=1)
    good = await queue.add_task("good", {"n": 1})
    await Worker(queue, {"bad": handler, "good": _async}).run(until_empty=True)
    with pytest.raises(TaskFailed):
        await queue.get_result(bad, 0)
    assert await queue.get_result(good, 0) == 1
    assert (await queue.dead_letter(bad)).retries == (0 if handler is _unsendable else 1)
    await check_drained(queue)


async def test_no_run_sees_what_another_left_in_its_context(queue):
    """What one handler set in a context variable, such as whose task it is, is unknown to the next one in its place."""
    whose = ContextVar("whose", default=None)
    seen = []

    async def handle(payload):
        seen.append(whose.get())
        whose.set(payload["n"])

    await queue.add_tasks([NewTask("t", {"n": n}) for n in range(20)])
    token = whose.set("the worker's")
    await Worker(queue, {"t": handle}, concurrency=2).run(until_empty=True)
    whose.reset(token)
    assert seen == ["the worker's"] * 20


async def test_a_failed_task_is_tried_again_with_its_history(queue):
    """A task runs max_retries times more; each run knows which it is, and the dead letter knows what went wrong."""
    attempts = []

    async def handler(task):
        attempts.append(task.attempt)
        raise ValueError(f"attempt {task.attempt}\nof three")

    task_id = await queue.add_task("t", {"n": 1}, max_retries=2)
    await Worker(queue, {"t": handler}, worker_id="w-1").run(until_empty=True)
    assert attempts == [1, 2, 3]
    letter = await queue.dead_letter(task_id)
    assert letter.history == ("ValueError: attempt 1 of three", "ValueError: attempt 2 of three")
    assert letter.reason == "ValueError: attempt 3\nof three"
    assert "in handler" in letter.traceback
    assert (letter.type, letter.payload, letter.retries, letter.worker) == ("t", {"n": 1}, 2, "w-1")
    with pytest.raises(TaskFailed, match="attempt 3"):
        await queue.get_result(task_id, 0)
    statistics = await queue.statistics()
    assert (statistics.retried, statistics.dead_lettered, statistics.failed) == (2, 1, 1)
    await check_drained(queue)


async def test_pauses_double_up_to_a_cap_and_are_spread(make_queue, clock):
    """A retry waits anything from 0 to a limit that doubles with each run until the longest."""
    queue = await make_queue(clock, retry_seconds=10.0, longest_retry_seconds=40.0)
    await queue.add_tasks([NewTask("t", max_retries=5)] * 200)
    for limit in (10, 20, 40, 40):
        await run_all(queue, {"t": _surrogates})
        scores = await queue.redis.zrange(f"{queue.keys.tag}delayed", 0, -1, withscores=True)
        pauses = [due / 1000 - clock.seconds for _, due in scores]
        assert len(pauses) == 200
        assert 0 <= min(pauses) < limit * 0.1
        assert limit * 0.9 < max(pauses) <= limit
        clock.advance(limit)


async def test_a_handler_may_say_what_is_to_be_done(make_queue, clock):
    """GiveUp ends a task at once; Retry may name the pause, and counts as a run."""
    queue = await make_queue(clock, longest_retry_seconds=1.0)

    async def handler(task):
        if task.payload["give_up"]:
            raise GiveUp("no such account")
        if task.attempt == 1:
            raise Retry("the bank is closed", delay=3_600)
        return "later"

    hopeless, patient = await queue.add_tasks(
        [NewTask("t", {"give_up": n == 0}, max_retries=1) for n in range(2)]
    )
    await run_all(queue, {"t": handler})
    assert (await queue.dead_letter(hopeless)).reason == "no such account"
    assert (await queue.statistics()).next_due_seconds == 3_600
    clock.advance(3_600)
    await run_all(queue, {"t": handler})
    assert await queue.get_result(patient, 0) == "later"
    await check_drained(queue)


@pytest.mark.parametrize("delay", ["30", b"1", True, -1, float("nan"), float("inf"), 1e17, timedelta(-1), 1j])
def test_a_pause_that_is_none_is_refused(delay):
    """Retry says at once that a delay is no number of seconds from 0 to ten years."""
    with pytest.raises((TypeError, ValueError), match="a delay is"):
        Retry("no", delay=delay)
    assert Retry("later", delay=timedelta(minutes=2)).delay == 120


async def test_one_settlement_that_cannot_be_sent_holds_up_no_other(queue):
    """What became of a task cannot be encoded: it is a dead letter, and those settled in the same call are settled."""
    ids = await queue.add_tasks([NewTask("t", {"n": n}) for n in range(20)])
    verdicts = []
    async with Reader(queue, "w", on_taken_away=print, on_cancelled=print) as reader:
        tasks = await reader.take(20)
        for n, task in enumerate(tasks):
            settlement = settlements.completed(task, n) if n != 7 else settlements.retried(task, "no", 1e20)
            reader.settle(task, settlement, verdicts.append)
        async with asyncio.timeout(60):
            await reader.flush()
    assert verdicts == [True] * 20
    (letter,) = await queue.dead_letters()
    assert letter.id == ids[7]
    assert letter.reason.startswith("what became of it cannot be sent: OverflowError")
    assert (await check_drained(queue)).stats["COMPLETED"] == 19


async def test_no_call_is_larger_than_the_server_takes_in_at_once(queue, monkeypatch):
    """A worker of any size takes 500 tasks in a call at most, and of results of a megabyte it sends a few in one."""
    taken, sent = [], []
    take, settle = queue.calls.take, queue.calls.settle

    def note_take(reader, slots, more, **risk):
        taken.append(slots + more)
        return take(reader, slots, more, **risk)

    def note_settle(settling, *left):
        call = settle(settling, *left)
        sent.append(sum(len(argument) for argument in call.arguments if isinstance(argument, bytes)))
        return call

    monkeypatch.setattr(queue.calls, "take", note_take)
    monkeypatch.setattr(queue.calls, "settle", note_settle)
    together = asyncio.Barrier(30)

    async def large(payload):
        await together.wait()
        return b"0" * 1_000_000

    ids = await queue.add_tasks([NewTask("large")] * 30 + [NewTask("t")] * 1_200)
    await Worker(queue, {"large": large, "t": lambda payload: None}, concurrency=2_000).run(until_empty=True)
    assert max(taken) == 500
    assert max(sent) < 10_000_000
    assert [len(await queue.get_result(task_id, 0)) for task_id in ids[:30]] == [1_000_000] * 30
    await check_drained(queue)


async def test_a_run_that_takes_too_long_is_stopped(queue):
    """A run past its timeout is cancelled, in a thread left to itself, retried, and a TIMEOUT in the end."""
    release, began = threading.Event(), []

    async def endless(task):
        began.append(task.attempt)
        await asyncio.Event().wait()

    ids = await queue.add_tasks(
        [NewTask("endless", timeout=0.05, max_retries=1), NewTask("thread", timeout=0.05, max_retries=0)]
    )
    try:
        await Worker(queue, {"endless": endless, "thread": lambda payload: release.wait(60)}).run(
            until_empty=True
        )
    finally:
        release.set()
    assert began == [1, 2]
    for task_id in ids:
        assert await queue.get_task_status(task_id) is TaskStatus.TIMEOUT
        with pytest.raises(TaskTimeout, match="stopped after 0.05 s"):
            await queue.get_result(task_id, 0)
        assert "stopped after 0.05 s" in (await queue.dead_letter(task_id)).reason
    await check_drained(queue)


async def test_plain_functions_run_as_many_at_a_time_as_the_worker_may(queue):
    """Forty functions in threads all run at once under a concurrency of forty, and the loop's own threads stay free."""
    together = threading.Barrier(40)
    await queue.add_tasks([NewTask("t", timeout=120)] * 40)
    with ThreadPoolExecutor(1) as few:
        asyncio.get_running_loop().set_default_executor(few)
        await Worker(queue, {"t": lambda payload: together.wait(60) >= 0}, concurrency=40).run(
            until_empty=True
        )
    assert (await check_drained(queue)).stats["COMPLETED"] == 40


async def test_results_expire_and_unknown_is_something_else(make_queue):
    """A result that is gone is told from an id that never was; with result_ttl 0 nothing is kept."""
    queue = await make_queue(result_ttl=0)
    task_id = await queue.add_task("t", {"n": 1})
    waiting = asyncio.create_task(queue.get_result(task_id, 30))
    await until(lambda: queue.redis.zscore(f"{queue.keys.tag}awaited", task_id))
    await Worker(queue, {"t": _async}).run(until_empty=True)
    with pytest.raises(ResultExpired):
        await waiting
    for never in ("never-added", UNKNOWN_ID.replace("0", "f")):
        with pytest.raises(TaskUnknown):
            await queue.get_result(never, 0)
        with pytest.raises(TaskUnknown):
            await queue.get_task_status(never)
    with pytest.raises(ResultExpired):
        await queue.get_task_status(UNKNOWN_ID)  # its digits say that it was made in 1970
    await check_drained(queue)


async def test_whoever_waits_is_woken(queue, make_queue):
    """Fifty waiters in two processes get the result when it comes, by one subscription each, without asking again."""
    other = await make_queue()
    release, looks = asyncio.Event(), []
    for side in (queue, other):
        side.ask = partial(_noting, side.ask, looks)

    async def handler(payload):
        await release.wait()
        return payload["n"]

    task_id = await queue.add_task("t", {"n": 5})
    async with at_work(Worker(queue, {"t": handler})):
        waiting = [
            asyncio.create_task(side.get_result(task_id, 60)) for side in (queue, other) for _ in range(25)
        ]
        await until(lambda: looks.count("look") >= 50)
        assert dict(await queue.redis.pubsub_numsub(queue.keys.ended))[queue.keys.ended.encode()] == 2
        began = time.monotonic()
        release.set()
        assert await asyncio.gather(*waiting) == [5] * 50
        assert time.monotonic() - began < 20
        assert looks.count("look") <= 150
    with pytest.raises(TaskTimeout, match="it is PENDING after 0.05 s"):
        await queue.get_result(await queue.add_task("t", {"n": 1}, delay=1_000, task_id="x"), 0.05)
    await queue.cancel("x")
    await check_drained(queue)


async def _noting(ask, calls, call):
    calls.append(call.script.name)
    return await ask(call)


async def test_each_task_of_a_batch_has_its_own_verdict(queue):
    """A batch gives results, errors and dead letters for each of its tasks; a full one goes at once, others linger."""
    sizes = []

    def many(tasks):
        sizes.append(len(tasks))
        verdicts = {"ok": 1, "bad": ValueError("no"), "never": GiveUp("never"), "stop": StopIteration()}
        return [verdicts[task.payload["is"]] for task in tasks]

    kinds = ["ok", "bad", "never", "stop"] * 5
    ids = await queue.add_tasks([NewTask("t", {"is": kind}, max_retries=0) for kind in kinds])
    await Worker(queue, {"t": Batch(many, size=8, linger_seconds=0.5)}, concurrency=30).run(until_empty=True)
    assert sorted(sizes) == [4, 8, 8]
    for kind, task_id in zip(kinds, ids, strict=True):
        if kind == "ok":
            assert await queue.get_result(task_id, 0) == 1
        else:
            with pytest.raises(TaskFailed):
                await queue.get_result(task_id, 0)
    await check_drained(queue)


@pytest.mark.parametrize("broken", [lambda tasks: [1], lambda tasks: None, _exit, _cancel_oneself])
async def test_a_broken_batch_fails_all_its_tasks(queue, broken):
    """A batch function that gives too few verdicts, none, or raises anything fails every task of the batch."""
    await queue.add_tasks([NewTask("t", max_retries=0)] * 3)
    await Worker(queue, {"t": Batch(broken, size=3)}).run(until_empty=True)
    assert (await check_drained(queue)).stats["dead"] == 3


async def test_a_task_may_wait_for_a_task_that_it_added(queue: TaskQueue):
    """A worker that runs until nothing is left takes what its own tasks add while they still run."""

    async def parent(payload):
        return await queue.get_result(await queue.add_task("child", {"n": 3}), 20)

    task_id = await queue.add_task("parent")
    await Worker(queue, {"parent": parent, "child": _async}).run(until_empty=True)
    assert await queue.get_result(task_id, 0) == 3
    await check_drained(queue)
