"""A worker in this process whose Redis or PostgreSQL goes away and comes back, or was never there."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Self

import pytest

from botmetry import ServerStartError
from midas.demo.servers import PostgresServer, RedisServer
from midas.errors import QueueUnavailable, SettingsError, StoreUnavailable
from midas.queue import AITaskQueue, LeaseKeeper
from midas.redis import UnsafeServer, connect, connect_from_thread
from midas.settings import Settings
from midas.store import migrations
from midas.worker import run_worker
from midas.worker.consumer import Consumer
from midas.worker.store_gate import StoreGate


class Running:
    """A worker at work."""

    def __init__(self, settings: Settings) -> None:
        self.ready, self.stop = asyncio.Event(), asyncio.Event()
        self._work = asyncio.create_task(
            run_worker(settings, worker_id="w-here", metrics_port=0, ready=self.ready, stop=self.stop)
        )

    async def __aenter__(self) -> Self:
        started = asyncio.create_task(self.ready.wait())
        await asyncio.wait({started, self._work}, return_when=asyncio.FIRST_COMPLETED, timeout=120)
        if self._work.done():
            started.cancel()
            self._work.result()
        return self

    @property
    def lives(self) -> bool:
        return not self._work.done()

    async def __aexit__(self, *error: object) -> None:
        self.stop.set()
        await asyncio.wait_for(self._work, 120)


@pytest.fixture(name="own_redis")
def _own_redis(tmp_path):
    """Run a Redis of this test's own, which it may kill."""
    with RedisServer(tmp_path / "own-redis", appendfsync="always") as server:
        yield server


async def test_a_worker_sits_out_a_crash_of_redis(own_redis, postgres_url, booked, log, until):
    """Redis is killed while tasks wait and run, and is away for a while: every payment is filed, the worker lives."""
    settings = Settings(redis_url=own_redis.url, database_url=postgres_url, log_output=str(log.path))
    payments = await booked(40)
    async with connect(own_redis.url) as client, AITaskQueue(client) as queue:
        ids = [await _enqueue(queue, payment) for payment in payments]
        async with Running(settings) as worker:
            await queue.get_result(ids[3])
            await asyncio.to_thread(own_redis.kill)
            await until(lambda: log.events("redis.lost"))
            await asyncio.to_thread(own_redis.start)
            results = await asyncio.gather(*(queue.get_result(task_id, timeout=120) for task_id in ids))
            assert worker.lives
    assert [result["transaction_id"] for result in results] == [payment.id for payment in payments]
    changes = log.events("redis.lost", "redis.found")
    assert [line["event"] for line in changes] == ["redis.lost", "redis.found"]
    assert all(line["worker_id"] == "w-here" and "user_id" not in line for line in changes)


async def test_a_result_found_while_redis_is_away_is_handed_in_later(own_redis, telemetry, until, log):
    """What a task found out during the outage is its result afterwards: nothing is done twice."""
    runs, finish = 0, asyncio.Event()

    async def slow(task):
        nonlocal runs
        runs += 1
        await finish.wait()
        return {"runs": runs}

    async def always():
        return None

    stop, hurry, gate = asyncio.Event(), asyncio.Event(), StoreGate(always, telemetry)
    async with connect(own_redis.url) as client, AITaskQueue(client, telemetry=telemetry) as queue:
        consumer = Consumer(queue, {"slow": slow}, gate, telemetry, worker_id="w")
        thread_client = connect_from_thread(own_redis.url)
        with LeaseKeeper(thread_client, queue.moves, queue.availability, consumer.lose) as keeper:
            work = asyncio.create_task(consumer.run(keeper, stop, hurry))
            task_id = await queue.enqueue_task("slow", {}, timeout=300)
            await until(lambda: runs == 1)
            await asyncio.to_thread(own_redis.kill)
            finish.set()
            await until(
                lambda: [line for line in log.events("queue.task_finished") if line["outcome"] == "ok"]
            )
            await asyncio.to_thread(own_redis.start)
            assert await queue.get_result(task_id, timeout=60) == {"runs": 1}
            stop.set()
            await asyncio.wait_for(work, 60)
    assert runs == 1


async def test_a_worker_sits_out_a_restart_of_postgresql(tmp_path, redis_url, log, until):
    """PostgreSQL stops while tasks wait: none fails, and all are done after its return."""
    work = ("find_anomalies", {"user_id": 7, "days": 30})
    with PostgresServer(tmp_path / "own-postgres", durable=False) as server:
        await migrations.apply(server.url)
        settings = Settings(redis_url=redis_url, database_url=server.url, log_output=str(log.path))
        async with connect(redis_url) as client, AITaskQueue(client) as queue, Running(settings) as worker:
            await queue.get_result(await queue.enqueue_task(*work))
            await asyncio.to_thread(server.stop)
            ids = [await queue.enqueue_task(*work, max_wait=120) for _ in range(30)]
            await until(lambda: log.events("store.lost"))
            await asyncio.to_thread(server.start)
            results = await asyncio.gather(*(queue.get_result(task_id, timeout=120) for task_id in ids))
            assert worker.lives
    assert results == [{"anomalies": []}] * 30
    assert len(log.events("store.lost")) == len(log.events("store.found")) == 1


async def test_a_worker_shows_its_health_and_its_queue(redis_url, postgres_url, queue, log, until):
    """/readyz says that all is well; /metrics shows the queue's and the confirmations' sizes, zeros included."""
    settings = Settings(redis_url=redis_url, database_url=postgres_url, log_output=str(log.path))
    async with Running(settings):
        [started] = await until(lambda: log.events("worker.started"))
        base = started["metrics"].removesuffix("/metrics").rstrip("/")
        status, text = await asyncio.to_thread(_get, f"{base}/readyz")
        assert status == 200, text
        assert {"redis", "postgresql", "consumer"} <= set(json.loads(text)["checks"])
        await queue.get_result(await queue.enqueue_task("find_anomalies", {"user_id": 7, "days": 30}))
        _, exposed = await asyncio.to_thread(_get, f"{base}/metrics")
    lines = exposed.splitlines()
    for state in ("ready", "delayed", "in_flight", "dead"):
        assert f'queue_size{{queue="ai",state="{state}"}} 0.0' in lines
    assert "confirmations_pending 0.0" in lines
    assert 'queue_oldest_task_age_seconds{queue="ai"} 0.0' in lines
    assert 'queue_tasks_completed_total{queue="ai",task="find_anomalies",outcome="ok"} 1.0' in lines
    assert 'redis_pool_connections{state="max"} 64.0' in lines
    assert any(
        line.startswith('redis_operations_total{operation="queue.take",outcome="ok"}') for line in lines
    )


async def test_a_worker_that_cannot_start_says_why(redis_url, postgres_url, own_redis, log):
    """A missing address, a Redis or PostgreSQL that does not answer, and a taken port are errors at once."""
    nowhere = f"redis://127.0.0.1:{own_redis.port}/0"
    await asyncio.to_thread(own_redis.stop)
    quiet = {"log_output": str(log.path)}
    for settings, error in (
        (Settings(database_url=postgres_url, **quiet), SettingsError),
        (Settings(redis_url="redis://[", database_url=postgres_url, **quiet), SettingsError),
        (Settings(redis_url=redis_url, **quiet), SettingsError),
        (Settings(redis_url=nowhere, database_url=postgres_url, **quiet), QueueUnavailable),
        (Settings(redis_url=redis_url, database_url="postgresql://127.0.0.1:1/x", **quiet), StoreUnavailable),
    ):
        with pytest.raises(error) as raised:
            await run_worker(settings, worker_id="w", metrics_port=0)
        assert "\n" not in str(raised.value)
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as taken:
        port = taken.sockets[0].getsockname()[1]
        settings = Settings(redis_url=redis_url, database_url=postgres_url, **quiet)
        with pytest.raises(ServerStartError, match=str(port)):
            await run_worker(settings, worker_id="w", metrics_port=port)


async def test_a_worker_refuses_a_redis_that_throws_tasks_away(own_redis, postgres_url, log):
    """With a policy that evicts any key it does not start, and says what to set."""
    settings = Settings(redis_url=own_redis.url, database_url=postgres_url, log_output=str(log.path))
    async with connect(own_redis.url) as client:
        await client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(UnsafeServer, match="set maxmemory-policy noeviction"):
        await run_worker(settings, worker_id="w", metrics_port=0)


async def _enqueue(queue: AITaskQueue, transaction) -> str:
    payload = {
        "user_id": transaction.user_id,
        "transaction_id": transaction.id,
        "description": transaction.description,
        "amount": str(transaction.amount),
    }
    return await queue.enqueue_task("categorize_transaction", payload, max_wait=120)


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
