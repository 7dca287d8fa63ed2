"""What the demo keeps alive comes back by itself, and what it stops is gone."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import psutil
import pytest

from midas.demo.errors import ServerStartError
from midas.demo.kept import Keeper, KeptProgram, KeptServer, Program
from midas.demo.ports import free_port
from midas.demo.processes import spawn
from midas.demo.servers import RedisServer


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def python(
    name: str, code: str, folder: Path, ready_url: str | None = None, seconds: float = 60.0
) -> Program:
    return Program(
        name, (sys.executable, "-c", code), folder / f"{name}.out", ready_url, start_seconds=seconds
    )


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def kept(keeper: Keeper) -> AsyncIterator[None]:
    watching = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        for part in keeper.parts:
            part.ask_to_stop()
            await asyncio.to_thread(part.end, 1.0)


SLEEP = "import time; time.sleep(600)"


async def test_a_killed_program_is_started_again_and_said(tmp_path, http):
    """A kill -9 of a program brings a new one, and two lines that say so."""
    said: list[str] = []
    keeper = Keeper(said.append)
    part = KeptProgram(python("sleeper", SLEEP, tmp_path), http)
    await part.start()
    keeper.add(part)
    assert part.child is not None
    first = part.child.pid
    async with kept(keeper):
        os.kill(first, signal.SIGKILL)
        await until(lambda: keeper.restarts == 1)
        assert part.alive
        assert part.child.pid != first
    assert "SIGKILL" in said[0]
    assert "sleeper runs again" in said[1]
    assert not part.alive


async def test_a_killed_redis_is_started_again_with_its_data(tmp_path, http):
    """A server that died comes back on the same port, and its death is said with the place of its output."""
    said: list[str] = []
    keeper = Keeper(said.append)
    part = KeptServer(RedisServer(tmp_path))
    await part.start()
    keeper.add(part)
    async with kept(keeper):
        os.kill(part.server.pid, signal.SIGKILL)
        await until(lambda: keeper.restarts == 1)
        assert part.alive
    assert "Redis was ended by SIGKILL" in said[0]
    assert str(part.server.output) in said[0]


async def test_what_is_held_down_is_left_down(tmp_path, http):
    """A fault that stops a server is not undone by the keeper."""
    keeper = Keeper(lambda _: None)
    held, other = (KeptProgram(python(name, SLEEP, tmp_path), http) for name in ("held", "other"))
    for part in (held, other):
        await part.start()
        keeper.add(part)
    held.held = True
    async with kept(keeper):
        for part in (held, other):
            assert part.child is not None
            os.kill(part.child.pid, signal.SIGKILL)
        await until(lambda: keeper.restarts == 1)
        assert other.alive
        assert not held.alive


async def test_who_dies_again_and_again_is_started_less_and_less_often(tmp_path, http):
    """A crash loop does not eat the machine: each wait is longer than the one before."""
    said: list[str] = []
    keeper = Keeper(said.append)
    part = KeptProgram(python("doomed", "raise SystemExit(3)", tmp_path), http)
    await part.start()
    keeper.add(part)
    waits: list[float] = []
    async with kept(keeper):
        for count in (1, 2, 3):
            await until(lambda count=count: keeper.restarts == count)
            waits.append(part.wait_seconds)
    assert waits == sorted(set(waits))
    assert "exit code 3" in said[0]


async def test_a_program_that_ends_at_its_start_is_an_error_with_its_last_words(tmp_path, http):
    """The line that a program printed before it gave up reaches the person."""
    words = "print('first'); print('the token was refused'); raise SystemExit(2)"
    part = KeptProgram(python("bot", words, tmp_path, f"http://127.0.0.1:{free_port()}/"), http)
    with pytest.raises(ServerStartError, match=r"bot ended with exit code 2: the token was refused"):
        await part.start()


async def test_a_program_that_says_nothing_but_has_trouble_in_its_log_is_quoted_from_there(tmp_path, http):
    """Who waits for something in vain has written so into the log, and the person reads what it is."""
    part = KeptProgram(python("bot", SLEEP, tmp_path, f"http://127.0.0.1:{free_port()}/", seconds=0.3), http)
    (tmp_path / "bot.jsonl").write_text(
        '{"level": "warning", "event": "telegram.unreachable", "place": "https://t", "reason": "no such name"}\n'
        '{"level": "info", "event": "other.done"}\n'
    )
    with pytest.raises(ServerStartError, match=r"telegram.unreachable, https://t no such name"):
        await part.start()


async def test_a_program_that_never_gets_ready_is_ended(tmp_path, http):
    """Who does not answer in time is not left running."""
    part = KeptProgram(python("mute", SLEEP, tmp_path, f"http://127.0.0.1:{free_port()}/", seconds=0.3), http)
    with pytest.raises(ServerStartError, match="mute is not ready"):
        await part.start()
    assert not part.alive


def test_a_stopped_and_stubborn_program_is_ended_with_its_children(tmp_path):
    """SIGSTOP and ignored signals do not help against the deadline, and grandchildren go too."""
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    output = tmp_path / "stubborn.out"
    child = spawn("stubborn", [sys.executable, "-c", code], output=output)
    deadline = time.monotonic() + 60
    while not output.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    grandchild = int(output.read_text())
    child.send(signal.SIGSTOP)
    assert child.stop(0.2) == -signal.SIGKILL
    while psutil.pid_exists(grandchild) and psutil.Process(grandchild).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
