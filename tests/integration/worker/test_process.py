"""Workers as processes: killed, stopped, told to end. No task is lost, and none ends twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Self

import asyncpg
import pytest
from aiohttp import web

from midas.queue import TaskStatus
from midas.saga import SagaConfig, SagaOversight
from midas.sync.imports import IMPORTS

if TYPE_CHECKING:
    from pathlib import Path

_PROGRAM = """
import asyncio, os, sys
from midas.settings import Settings
from midas.worker import run_worker
asyncio.run(run_worker(Settings.from_env(os.environ), worker_id=sys.argv[1], metrics_port=0))
"""
_ANSWER = '{"category": "Groceries", "confidence": 0.97}'


class WorkerProcess:
    """One worker in a process of its own, which the test may treat as badly as it likes."""

    def __init__(self, name: str, log_path: Path, environ: dict[str, str]) -> None:
        self.name = name
        self.log_path = log_path
        self.environ = environ
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, name],
            env={**os.environ, **environ, "LOG_OUTPUT": str(log_path)},
        )

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def logged(self, *events: str) -> bool:
        text = self.log_path.read_text() if self.log_path.exists() else ""
        return any(f'"{event}"' in text for event in events)

    @property
    def has_started(self) -> bool:
        assert self.returncode is None, f"{self.name} ended with {self.returncode}"
        return self.logged("worker.started")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()


class LanguageModelDouble:
    """Speaks OpenAI's chat completion protocol, and lets callers wait until it is released."""

    def __init__(self) -> None:
        self.asked = 0
        self.released = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/chat/completions", self._complete)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self.released.set()
        assert self._runner is not None
        await self._runner.cleanup()

    async def _complete(self, request: web.Request) -> web.Response:
        self.asked += 1
        await self.released.wait()
        message = {"role": "assistant", "content": _ANSWER}
        return web.json_response(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": (await request.json())["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        )


@pytest.fixture(name="model")
async def _model():
    async with LanguageModelDouble() as model:
        yield model


@pytest.fixture(name="start")
async def _start(tmp_path, redis_url, postgres_url, model, until):
    """Start worker processes, and end them at the end of the test however they are."""
    workers = []
    environ = {
        "REDIS_URL": redis_url,
        "DATABASE_URL": postgres_url,
        "DEEPSEEK_API_KEY": "sk-test-key",
        "LLM_BASE_URL": model.url,
    }

    async def start(*names):
        started = [WorkerProcess(name, tmp_path / f"{name}.jsonl", environ) for name in names]
        workers.extend(started)
        await until(lambda: all(worker.has_started for worker in started))
        return {worker.name: worker for worker in started}

    yield start
    for worker in workers:
        worker.close()


@pytest.fixture(name="begun")
def _begun(booked, categorizing, redis, model, until):
    """Have a payment categorized, wait until a worker is in the middle of it, and tell task and worker."""

    async def begin(**options):
        [payment] = await booked(1)
        task_id = await categorizing(payment, **options)
        await until(lambda: model.asked >= 1)
        return task_id, json.loads(await redis.hget("{q:ai}:records", task_id))["worker"]

    return begin


async def test_another_worker_finishes_what_a_killed_one_began(start, begun, queue, model, store):
    """Kill -9 in the middle of a task: the other worker does it, and the payment is filed."""
    workers = await start("w-1", "w-2")
    task_id, victim = await begun(timeout=8, max_wait=120)  # and so a lease of 4 s
    workers[victim].send(signal.SIGKILL)
    model.released.set()

    result = await queue.get_result(task_id, timeout=60)
    assert (result["category"], result["status"]) == ("Groceries", "auto")
    assert (await store.transactions.get(result["transaction_id"])).category == "Groceries"
    [survivor] = [worker for name, worker in workers.items() if name != victim]
    assert survivor.returncode is None
    assert '"queue.tasks_recovered"' in survivor.log_path.read_text()


async def test_a_worker_that_was_stopped_past_its_lease_ends_nothing(start, begun, queue, until, model):
    """Split brain: SIGSTOP past the lease, another finishes, SIGCONT: the first one's word is refused, and it lives."""
    workers = await start("w-1", "w-2")
    task_id, owner = await begun(timeout=8, max_wait=120)
    workers[owner].send(signal.SIGSTOP)
    model.released.set()
    result = await queue.get_result(task_id, timeout=60)

    workers[owner].send(signal.SIGCONT)
    await until(lambda: workers[owner].logged("worker.ending_refused", "worker.task_lost"))
    assert await queue.get_result(task_id) == result
    ids = [await queue.enqueue_task("find_anomalies", {"user_id": 7, "days": 30}) for _ in range(20)]
    await asyncio.gather(*(queue.get_result(task_id, timeout=60) for task_id in ids))
    assert [worker.returncode for worker in workers.values()] == [None, None]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_told_to_end_finishes_what_runs(start, begun, queue, until, model, number):  # noqa: PLR0917
    """SIGTERM and SIGINT: the running task is finished, nothing new is taken, the exit code is 0."""
    [worker] = (await start("w-1")).values()
    running, _ = await begun()
    worker.send(number)
    await until(lambda: worker.logged("worker.draining"))
    later = [await queue.enqueue_task("find_anomalies", {"user_id": 7, "days": 30}) for _ in range(5)]
    model.released.set()

    await until(lambda: worker.returncode is not None)
    assert worker.returncode == 0
    assert (await queue.get_result(running))["category"] == "Groceries"
    assert {await queue.get_task_status(task_id) for task_id in later} == {TaskStatus.PENDING}


async def test_a_second_signal_gives_everything_back_at_once(start, begun, queue, until):
    """The second signal ends the process without waiting; its task is in line again, as if never taken."""
    [worker] = (await start("w-1")).values()
    task_id, _ = await begun()
    worker.send(signal.SIGTERM)
    await until(lambda: worker.logged("worker.draining"))
    worker.send(signal.SIGTERM)

    await until(lambda: worker.returncode is not None, seconds=60)
    assert worker.returncode == 0
    again = await queue.dequeue_task("other")
    assert (again.id, again.deliveries) == (task_id, 1)


async def test_no_secret_is_in_a_workers_log(start, begun, queue, until, model):
    """Neither the model's key nor a password of Redis or PostgreSQL reaches a log line."""
    [worker] = (await start("w-1")).values()
    task_id, _ = await begun()
    model.released.set()
    await queue.get_result(task_id, timeout=60)
    worker.send(signal.SIGTERM)
    await until(lambda: worker.returncode is not None)
    passwords = [worker.environ[name].split("@")[0].split(":")[-1] for name in ("REDIS_URL", "DATABASE_URL")]
    text = worker.log_path.read_text()
    assert not [secret for secret in (*passwords, "sk-test-key") if secret in text]


_IMPORT = """
import os, sys
from midas.cli import main
sys.exit(main(["import", sys.argv[1], "--user", "7"]))
"""


async def test_a_worker_finishes_the_import_of_a_killed_process(  # noqa: PLR0917
    start, store, queue, redis_url, postgres_url, tmp_path, until
):
    """Kill -9 of `midas import` in the middle: a worker stores all of it, once, queues it, and forgets the file."""
    statement = tmp_path / "october.csv"
    rows = [f"2026-10-{day:02d},LIDL {day},-1.00,EUR" for day in range(1, 21)]
    statement.write_text("\n".join(["Date,Description,Amount,Currency", *rows]))
    connection = await asyncpg.connect(postgres_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE")
            environ = {**os.environ, "REDIS_URL": redis_url, "DATABASE_URL": postgres_url}
            importing = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _IMPORT, statement, env=environ
            )
            await until(lambda: connection.fetchval("SELECT count(*) FROM statement_files"))
            importing.kill()
            await importing.wait()
    finally:
        await connection.close()
    await start("w-1")

    async def finished():
        return (await store.database.row("SELECT count(*) = 0 AS gone FROM statement_files"))["gone"]

    await until(finished, seconds=120)  # its lease has to lapse first
    assert len(await store.transactions.recent(7, 100)) == 20
    (run,) = await store.sync_runs.recent(7)
    assert (run.outcome, run.found, run.added) == ("ok", 20, 20)
    async with SagaOversight(SagaConfig(redis_url=redis_url, name=IMPORTS)) as sagas:
        (saga,) = await sagas.list()
    assert (saga.state, saga.context["queued"]) == ("COMPLETED", 20)
