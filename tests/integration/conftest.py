"""Real PostgreSQL and Redis for the tests: one server of each a run, a fresh database for each test."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
import redis

from midas.demo.servers import PostgresServer, RedisServer
from midas.redis import connect
from midas.store import migrations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from redis.asyncio import Redis

    from botmetry import Telemetry

_TEMPLATE = "midas_template"
_ANSWERS = (
    "midas.confirmations.service._ANSWER_SECONDS",
    "midas.queue.side._ANSWER_SECONDS",
    "midas.queue.streams.adding.ANSWER_SECONDS",
    "midas.queue.streams.queue.ANSWER_SECONDS",
    "midas.saga.runs.ANSWER_SECONDS",
    "midas.saga.store.ANSWER_SECONDS",
)


class Clock:
    """A time that passes only when told to."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True, name="patience_with_redis")
def _patience_with_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let callers wait for a Redis on a busy machine, which in production they give up after a second or two."""
    for name in _ANSWERS:
        monkeypatch.setattr(name, 30.0)


@pytest.fixture(scope="session", name="postgres_server")
def _postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Run PostgreSQL with a migrated template database, shared by the tests of this run."""
    with PostgresServer(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        asyncio.run(_execute(server.url, f"CREATE DATABASE {_TEMPLATE}"))
        asyncio.run(migrations.apply(_database(server.url, _TEMPLATE)))
        yield server


@pytest.fixture(name="postgres_url")
def _postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the address of a fresh database with every migration applied."""
    yield from _fresh_database(postgres_server, _TEMPLATE)


@pytest.fixture(name="empty_postgres_url")
def _empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the address of a fresh database without any table."""
    yield from _fresh_database(postgres_server, "template1")


@pytest.fixture(scope="session", name="redis_server")
def _redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run Redis, shared by the tests of this run."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(name="redis_url")
def _redis_url(redis_server: RedisServer) -> str:
    """Give the address of an empty Redis."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(name="redis")
async def _redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as client:
        yield client


@pytest.fixture(name="metric")
def _metric(telemetry: Telemetry) -> Callable[..., float]:
    """Give the value of a sample, 0 where there is none."""

    def read(name: str, **labels: str) -> float:
        samples = [sample for family in telemetry.registry.collect() for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    return read


def _fresh_database(server: PostgresServer, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    asyncio.run(_execute(server.url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield _database(server.url, name)
    # FORCE: a test that failed may have left a connection behind, and that is its own failure to tell.
    asyncio.run(_execute(server.url, f"DROP DATABASE {name} WITH (FORCE)"))


def _database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
