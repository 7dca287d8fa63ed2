"""Celery observed: real workers with two children, a real beat, a real Redis."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import redis as redis_library
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families as parse

from botmetry import BotmetryError, LogSettings, Telemetry
from botmetry.errors import MissingExtraError
from botmetry.integrations.celery import instrument

# What Celery and its libraries warn about is theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


class Program:
    """A worker or a beat of `celery_program`, as a process of its own."""

    def __init__(self, folder: Path, broker: str, *command: str) -> None:
        self.folder = folder
        folder.mkdir()
        environment = {
            **os.environ,
            "JOBS_FOLDER": str(folder),
            "JOBS_BROKER": broker,
            "PYTHONPATH": str(Path(__file__).parent),
        }
        self._output = (folder / "output").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "celery_program", *command],
            cwd=folder,
            env=environment,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wrote(self, name: str) -> bool:
        """Return whether a file is there, unless the program has ended without writing it."""
        assert self.process.poll() is None, (self.folder / "output").read_text()
        return (self.folder / name).exists()

    def lines(self) -> list[dict[str, object]]:
        path = self.folder / "jobs.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]  # whole ones

    async def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the values of a metric other than 0, by label values in the order of the label names."""
        async with aiohttp.ClientSession() as session, session.get(self.url) as answer:
            text = await answer.text()
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for family in parse(text)
            for sample in family.samples
            if sample.name == name and sample.value
        }

    @property
    def url(self) -> str:
        return (self.folder / "url").read_text() + "/metrics"

    def stop(self, seconds: float = 20.0) -> None:
        """End it in good order within so many seconds, and by force after them."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # children whose pool was killed go on without it
        self._output.close()


@pytest.fixture(name="app")
def _app(redis_url):
    app = Celery("jobs", broker=redis_url)
    app.conf.update(task_default_queue="default", task_ignore_result=True)
    yield app
    app.close()


@pytest.fixture(name="observed")
def _observed(app, telemetry):
    undo = instrument(app, telemetry)
    yield app
    undo()


@pytest.fixture(name="start")
def _start(tmp_path, redis_url):
    """Start a program; it is stopped at the end."""
    programs: list[Program] = []

    def start(*command: str) -> Program:
        programs.append(Program(tmp_path / f"program-{len(programs)}", redis_url, *command))
        return programs[-1]

    yield start
    for program in programs:
        program.stop()


@pytest.fixture(name="worker")
async def _worker(start, eventually):
    """Start a worker whose pool has two children."""
    worker = start("worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "warning")
    await eventually(lambda: worker.wrote("url"))
    return worker


async def test_totals_over_the_children_of_a_pool_are_exact(observed, worker, telemetry, seen, eventually):
    """60 tasks of three kinds, published here and run in two children, are each counted once, and a retry as one."""
    for number in range(40):
        observed.send_task("add", (number, 1))
    for _ in range(10):
        observed.send_task("fail")
        observed.send_task("once_more")

    async def done() -> bool:
        tasks = await worker.samples("celery_tasks_total")
        ended = sum(
            value for (_, state, _), value in tasks.items() if state in {"succeeded", "failed", "retried"}
        )
        # A child counts one after the other.
        runs = await worker.samples("celery_task_runtime_seconds_count")
        waits = await worker.samples("celery_task_wait_seconds_count")
        return min(ended, sum(runs.values()), sum(waits.values())) >= 70

    await eventually(done)
    assert await worker.samples("celery_tasks_total") == {
        ("default", "succeeded", "add"): 40.0,
        ("default", "failed", "fail"): 10.0,
        ("default", "retried", "once_more"): 10.0,
        ("default", "published", "once_more"): 10.0,  # by the children that retry
        ("default", "succeeded", "once_more"): 10.0,
    }
    assert await worker.samples("celery_task_runtime_seconds_count") == {
        ("add",): 40.0,
        ("fail",): 10.0,
        ("once_more",): 20.0,
    }
    assert await worker.samples("celery_task_wait_seconds_count") == {("default",): 70.0}
    assert seen.nonzero("celery_tasks_total") == {
        ("default", "published", "add"): 40.0,
        ("default", "published", "fail"): 10.0,
        ("default", "published", "once_more"): 10.0,
    }


async def test_trace_and_context_go_from_the_publisher_into_the_worker(
    observed, worker, telemetry, log_lines, eventually
):
    """A command and the task that it publishes are one trace, and the worker's lines name the same user."""
    with telemetry.context(user_id=7), telemetry.bot.command("sum"):
        observed.send_task("add", (20, 22))
    await eventually(lambda: any(line["event"] == "celery.task_finished" for line in worker.lines()))

    (here,) = log_lines("bot.request_handled")
    there = {line["event"]: line for line in worker.lines()}
    for event in ("sum.made", "celery.task_finished"):
        assert there[event]["trace_id"] == here["trace_id"]
        assert there[event]["user_id"] == 7
        assert there[event]["queue"] == "default"
        assert there[event]["task_id"]
    assert there["sum.made"]["span_id"] == there["celery.task_finished"]["span_id"] != here["span_id"]
    assert there["sum.made"]["total"] == 42


async def test_kill_9_of_a_child_loses_no_count(observed, worker, eventually):
    """What the child had counted stays, its task is counted as lost, and the pool goes on counting."""
    for number in range(20):
        observed.send_task("add", (number, 1))

    async def counted(number: float) -> bool:
        return (await worker.samples("celery_tasks_total")).get(("default", "succeeded", "add")) == number

    await eventually(lambda: counted(20.0))
    observed.send_task("hang", ("victim",))
    await eventually(lambda: worker.wrote("victim"))

    os.kill(int((worker.folder / "victim").read_text()), signal.SIGKILL)

    async def lost() -> bool:
        return (await worker.samples("celery_tasks_total")).get(("default", "lost", "hang")) == 1.0

    await eventually(lost)
    assert await counted(20.0)
    for number in range(20):
        observed.send_task("add", (number, 1))
    await eventually(lambda: counted(40.0))
    assert (await worker.samples("celery_tasks_total"))["default", "lost", "hang"] == 1.0
    await eventually(lambda: any(line["event"] == "celery.task_lost" for line in worker.lines()))
    (line,) = [line for line in worker.lines() if line["event"] == "celery.task_lost"]
    assert (line["task_type"], line["queue"], line["state"]) == ("hang", "default", "lost")


async def test_a_hard_time_limit_is_counted(observed, worker, eventually):
    """A task whose child the pool kills because its time is over has timed out, and has not vanished."""
    observed.send_task("too_long")

    async def timed_out() -> bool:
        tasks = await worker.samples("celery_tasks_total")
        return tasks == {("default", "timed_out", "too_long"): 1.0}

    await eventually(timed_out)


async def test_a_task_that_is_taken_away_is_counted_once(observed, worker, eventually):
    """One that is revoked while it runs, and one whose time had passed before it ran."""
    running = observed.send_task("hang", ("victim",))
    await eventually(lambda: worker.wrote("victim"))
    running.revoke(terminate=True)
    observed.send_task("add", (1, 1), expires=-1.0)

    async def taken_away() -> bool:
        tasks = await worker.samples("celery_tasks_total")
        return tasks == {("default", "revoked", "hang"): 1.0, ("default", "revoked", "add"): 1.0}

    await eventually(taken_away)


async def test_queue_lengths_by_priority_come_from_the_broker(observed, telemetry, seen):
    """Each step of priority of a queue is shown, an empty one with 0, whoever published."""
    for priority in (0, 0, 1, 3, 9, 9, 9):
        observed.send_task("add", (1, 1), priority=priority)
    await telemetry.refresh()

    lengths = seen.samples("celery_queue_length")
    assert {dict(labels)["priority"]: value for labels, value in lengths.items()} == {
        "0": 3.0,  # kombu rounds 1 down to the step 0
        "3": 1.0,
        "6": 0.0,
        "9": 3.0,
    }
    assert seen.value("celery_unacked_tasks", queue="default") == 0.0
    assert seen.value("celery_workers", state="online") == 0.0


async def test_keys_with_a_prefix_are_found(app, telemetry, seen):
    """Several apps may share a Redis under prefixes of their own."""
    app.conf.broker_transport_options = {"global_keyprefix": "shop:", "priority_steps": [0, 5]}
    undo = instrument(app, telemetry)
    app.send_task("add", (1, 1), priority=5)
    app.send_task("add", (1, 1), priority=7)
    await telemetry.refresh()

    assert seen.value("celery_queue_length", queue="default", priority="5") == 2.0
    assert seen.value("celery_queue_length", queue="default", priority="0") == 0.0
    undo()


async def test_unacknowledged_tasks_and_workers_come_from_the_broker(
    observed, worker, telemetry, seen, eventually
):
    """A task that waits for its time is held by the worker; a silent worker is lost; one that stops is neither."""

    async def shows(name: str, value: float, **labels: str) -> bool:
        await telemetry.refresh()
        return seen.value(name, **labels) == value

    await eventually(lambda: shows("celery_workers", 1.0, state="online"))
    observed.send_task("add", (1, 1), countdown=600)
    await eventually(lambda: shows("celery_unacked_tasks", 1.0, queue="default"))
    with redis_library.Redis.from_url(observed.conf.broker_url) as client:
        client.hset("botmetry.celery.workers", "celery@elsewhere", time.time() - 60)
        client.hset("botmetry.celery.workers", "celery@yesterday", time.time() - 100_000)
        assert await shows("celery_workers", 1.0, state="lost")
        assert await shows("celery_workers", 1.0, state="online")
        # The worker sees what we see, and nothing fails in it.
        assert await worker.samples("celery_workers") == {("lost",): 1.0, ("online",): 1.0}
        assert await worker.samples("celery_unacked_tasks") == {("default",): 1.0}
        assert await worker.samples("telemetry_errors_total") == {}
        worker.stop(120.0)
        assert await shows("celery_workers", 0.0, state="online")
        assert client.hkeys("botmetry.celery.workers") == [b"celery@elsewhere"]


async def test_the_last_runs_of_beat_outlive_it(observed, start, telemetry, seen, eventually):
    """Each schedule has the time of its last run, and beat of its last look, also when beat has been killed."""
    began = time.time()
    beat = start("beat", "--loglevel", "warning")

    async def ran() -> bool:
        assert beat.process.poll() is None
        await telemetry.refresh()
        return seen.value("celery_beat_last_run_timestamp_seconds", schedule="tidy-up") is not None

    await eventually(ran)
    beat.process.kill()
    beat.process.wait()
    await telemetry.refresh()
    for schedule in ("tidy-up", "beat"):
        at = seen.value("celery_beat_last_run_timestamp_seconds", schedule=schedule)
        assert began - 1 < at < time.time() + 1


async def test_a_broker_that_is_away_takes_its_numbers_away(telemetry, seen):
    """Old sizes are worse than none, and the failure is counted."""
    app = Celery("jobs", broker="redis://127.0.0.1:1/0")
    undo = instrument(app, telemetry)
    await telemetry.refresh()

    assert seen.samples("celery_queue_length") == {}
    assert seen.value("telemetry_errors_total", component="celery.watch") == 1.0
    undo()


def test_instrumenting_twice_is_once_and_undo_ends_it(app, telemetry, seen):
    """A task is counted once, and no more after the undo; another telemetry is refused."""
    undo = instrument(app, telemetry)
    assert instrument(app, telemetry) == undo
    with pytest.raises(BotmetryError, match="another Telemetry"):
        instrument(app, Telemetry("other", log=LogSettings(output="none")))
    app.send_task("add", (1, 1))
    undo()
    undo()
    app.send_task("add", (1, 1))

    assert seen.nonzero("celery_tasks_total") == {("default", "published", "add"): 1.0}


def test_what_is_no_app_is_refused(telemetry):
    """The message names what was given."""
    with pytest.raises(TypeError, match="not str"):
        instrument("jobs", telemetry)


def test_a_missing_celery_is_named_with_its_extra(telemetry, monkeypatch):
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "celery", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'botmetry\[celery\]'"):
        instrument("jobs", telemetry)
