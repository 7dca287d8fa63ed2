"""What happens to tasks is counted, logged and traced, and what it belongs to travels with each task."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr

import pytest

from botmetry import LogSettings, Telemetry
from botmetry.tracing import current
from midas.queue import GiveUp, NewTask, TaskPriority, TaskQueue, TaskQueueConfig, Worker

from .ground import check_drained, run_all


def _fail(payload):
    raise ValueError("no")


@pytest.fixture(name="log")
def _log(tmp_path):
    """Give a telemetry that writes to a file, and what reads its lines."""
    path = tmp_path / "log.jsonl"
    telemetry = Telemetry(service="streams-test", log=LogSettings(output=str(path), level="debug"))

    def lines(event):
        telemetry.log.flush()
        return [line for line in map(json.loads, path.read_text().splitlines()) if line["event"] == event]

    yield telemetry, lines
    telemetry.close()


async def test_every_number_is_right(make_queue, clock, metric):
    """Added, completed, failed, retried, recovered, dead and waited tasks are counted as they happened."""
    queue, other = [await make_queue(clock, lease_seconds=1_000.0, retry_seconds=0.0) for _ in range(2)]
    await queue.add_tasks([NewTask("ok")] * 5 + [NewTask("bad", max_retries=2)] + [NewTask("nobody")])
    consumed = other.consume_tasks("w", ahead=2)
    await anext(consumed)
    clock.advance(1_001)
    await queue.recover()
    await consumed.aclose()
    clock.advance(9)
    await run_all(queue, {"ok": lambda payload: 1, "bad": _fail})

    labels = {"queue": "tasks"}
    assert metric("queue_tasks_enqueued_total", task="ok", **labels) == 5
    assert metric("queue_tasks_completed_total", task="ok", outcome="ok", **labels) == 5
    assert metric("queue_tasks_completed_total", task="bad", outcome="error", **labels) == 3
    assert metric("queue_task_duration_seconds_count", task="bad", **labels) == 3
    assert metric("queue_tasks_retried_total", **labels) == 2
    assert metric("queue_tasks_recovered_total", **labels) == 3
    assert metric("queue_tasks_dead_lettered_total", **labels) == 2
    assert metric("queue_task_wait_seconds_count", **labels) == 5  # each when it first began: one in the loop
    assert metric("queue_task_wait_seconds_sum", **labels) == 4 * 1_010
    statistics = await queue.statistics()
    assert (statistics.added, statistics.completed, statistics.failed) == (7, 5, 2)
    assert (statistics.retried, statistics.recovered, statistics.dead_lettered) == (2, 3, 2)
    await check_drained(queue)


async def test_the_state_is_that_of_the_queue(make_queue, clock, telemetry, metric):
    """Sizes and the age of the oldest come from Redis, by priority, place and time, and reach the metrics."""
    queue = await make_queue(clock)
    await queue.add_tasks(
        [NewTask("t", {}, TaskPriority.LOW), NewTask("t", {}, TaskPriority.HIGH), NewTask("t", delay=90)]
    )
    clock.advance(30)
    await queue.add_tasks([NewTask("t", {}, TaskPriority.LOW)])
    consumed = queue.consume_tasks("w")
    await anext(consumed)
    now = await queue.statistics()
    assert now.waiting == {100: 0, 75: 0, 50: 0, 25: 2}
    assert (now.delayed, now.in_flight, now.dead, now.parked) == (1, 1, 0, 0)
    assert (now.oldest_age_seconds, now.next_due_seconds, now.readers) == (30.0, 60.0, 1)
    telemetry.queue.watch("tasks", queue.state)
    await telemetry.refresh()
    sizes = {
        state: metric("queue_size", queue="tasks", state=state)
        for state in ("ready", "delayed", "in_flight", "dead")
    }
    assert sizes == {"ready": 2, "delayed": 1, "in_flight": 1, "dead": 0}
    assert metric("queue_oldest_task_age_seconds", queue="tasks") == 30
    await consumed.aclose()


async def test_context_and_trace_travel_with_a_task(redis_url, log):
    """What the caller bound to his log lines, and his trace, are those of the handler, also in a thread."""
    telemetry, lines = log
    seen = {}

    async def handler(task):
        telemetry.log.info("test.ran", kind="async")
        seen["async"] = current().trace_id

    def in_thread(task):
        telemetry.log.info("test.ran", kind="thread")
        seen["thread"] = current().trace_id

    async with TaskQueue(TaskQueueConfig(redis_url), telemetry) as queue:
        with telemetry.context(user_id=7, command="import"), telemetry.bot.command("import"):
            trace_id = current().trace_id
            ids = [await queue.add_task(kind) for kind in ("handler", "in_thread")]
            await queue.add_task("looped", max_retries=0)
        with telemetry.context(user_id=8):
            await queue.add_task("handler")
            await Worker(queue, {"handler": handler, "in_thread": in_thread, "looped": _fail}).run(
                until_empty=True
            )
        ran = {
            (line["kind"], line["user_id"], line["task_id"] in ids, line.get("command"))
            for line in lines("test.ran")
        }
        assert ran == {("async", 7, True, "import"), ("thread", 7, True, "import"), ("async", 8, False, None)}
        assert seen["thread"] == trace_id
        finished = [line for line in lines("queue.task_finished") if line["task_type"] == "in_thread"]
        assert [(line["trace_id"], line["user_id"], line["outcome"]) for line in finished] == [
            (trace_id, 7, "ok")
        ]
        await queue.purge()
        await check_drained(queue)


async def test_what_was_given_up_is_an_error_in_the_log(redis_url, log):
    """A dead letter is one line of error with the queue, the task and the reason."""
    telemetry, lines = log

    async def hopeless(payload):
        raise GiveUp("no such account")

    async with TaskQueue(TaskQueueConfig(redis_url), telemetry) as queue:
        task_id = await queue.add_task("t")
        await Worker(queue, {"t": hopeless}).run(until_empty=True)
        (line,) = lines("queue.task_dead_lettered")
        assert (line["level"], line["task_id"], line["reason"]) == ("error", task_id, "no such account")
        assert [line["queue"] for line in lines("worker.started")] == ["tasks"]
        await check_drained(queue)


async def test_nothing_is_written_where_nobody_reads(redis_url, capsys):
    """A queue without a telemetry works in silence."""
    with redirect_stderr(io.StringIO()) as written:
        async with TaskQueue(TaskQueueConfig(redis_url)) as queue:
            await queue.add_task("t")
            await run_all(queue, {"t": lambda payload: 1})
            await check_drained(queue)
    assert written.getvalue() == ""
