"""The embedded servers are real, keep their data, and never outlive the process that started them."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from midas.demo.servers import PostgresServer, RedisServer, ServerStartError

ABANDONED = """
import os, signal, sys
from pathlib import Path
from midas.demo.servers import PostgresServer, RedisServer
folder = Path(sys.argv[1])
with PostgresServer(folder / "postgres", durable=False) as postgres, RedisServer(folder / "redis") as redis:
    print(postgres.pid, redis.pid, postgres.home, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", appendfsync="always") as server:
        yield server


async def test_postgresql_18_answers_and_keeps_its_data_and_port_over_a_restart(postgres: PostgresServer):
    """PostgreSQL is version 18, wants its password, and a stop and start keeps what was committed."""
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("create table kept (x integer)")
    await connection.execute("insert into kept values (42)")
    await connection.close()
    url = postgres.url

    postgres.stop()
    assert not postgres.alive
    postgres.start()

    assert postgres.url == url
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("select x from kept") == 42
    assert (await connection.fetchval("show server_version")).startswith("18")
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url.replace(postgres._password, "guessed"))


async def test_the_servers_are_async_context_managers_too(tmp_path: Path):
    """`async with` starts and stops without blocking the loop's own thread for good."""
    async with RedisServer(tmp_path, appendfsync="always") as server:
        assert server.alive
    assert not server.alive


def test_a_killed_redis_loses_nothing_that_it_acknowledged(redis_server: RedisServer):
    """What was answered with OK before kill -9 is there after the next start, on the same port."""
    url = redis_server.url
    with redis.Redis.from_url(url) as client:
        for number in range(500):
            client.rpush("list", number)
    redis_server.kill()
    redis_server.start()
    assert redis_server.url == url
    with redis.Redis.from_url(url) as client:
        assert client.llen("list") == 500
        assert client.config_get("save")["save"] == ""
    at_once = Retry(NoBackoff(), 0)
    with (
        redis.Redis("127.0.0.1", redis_server.port, retry=at_once) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_a_taken_fixed_port_is_an_error_that_names_it(redis_server: RedisServer, tmp_path: Path):
    """Starting on somebody's port raises one line with the port and leaves no process."""
    second = RedisServer(tmp_path / "second", port=redis_server.port)
    with pytest.raises(ServerStartError, match=str(redis_server.port)), second:
        pytest.fail("it must not start")
    assert not second.alive


def test_the_servers_die_with_a_killed_parent(tmp_path: Path):
    """After kill -9 of the process that started them neither server is left."""
    parent = subprocess.run(
        [sys.executable, "-c", ABANDONED, tmp_path], capture_output=True, text=True, check=False, timeout=180
    )
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    postgres_pid, redis_pid, home = parent.stdout.split()
    try:
        deadline = time.monotonic() + 60
        while any(lives(int(pid)) for pid in (postgres_pid, redis_pid)):
            assert time.monotonic() < deadline, "a server outlived its parent"
            time.sleep(0.01)
    finally:
        subprocess.run(["rm", "-rf", home], check=True)


def lives(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped by init does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
