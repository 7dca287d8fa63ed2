"""Real processes: forked on request, asked over a pipe, killed and waited for by their number."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from botmetry import LogSettings, Telemetry

from ...untraced import fork  # noqa: TID252 -- the tests are no package on any path

DEADLINE_SECONDS = 60.0


class Child:
    """A forked process."""

    def __init__(self, body: Callable[[Connection], None]) -> None:
        self.pipe, theirs = Pipe()

        def live() -> None:
            self.pipe.close()
            body(theirs)

        self.pid = fork(live)
        theirs.close()
        self.ended = False

    def receive(self) -> object:
        """Return what the child sends next."""
        assert self.pipe.poll(DEADLINE_SECONDS)
        return self.pipe.recv()

    def ask(self, question: object) -> object:
        """Send something, and return the answer."""
        self.pipe.send(question)
        return self.receive()

    def kill(self) -> None:
        """End the child as the kernel does when memory is short."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Wait until the child has ended; return its status."""
        self.ended = True
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def forked():
    """Fork a child that does `body(pipe)`; what is left is killed at the end."""
    children: list[Child] = []

    def make(body: Callable[[Connection], None]) -> Child:
        children.append(Child(body))
        return children[-1]

    yield make
    for child in children:
        if not child.ended:
            child.kill()
        child.pipe.close()


@pytest.fixture
def telemetry():
    """A program's telemetry that shares its counts with the processes forked from it."""
    made = Telemetry("shop-bot", prefork=True, log=LogSettings(output="none"))
    yield made
    made.close()


@pytest.fixture
def lines():
    """Return what a telemetry's exposition shows: sample to value."""

    def show(telemetry: Telemetry, *, openmetrics: bool = False) -> dict[str, str]:
        text = telemetry.render(openmetrics=openmetrics).decode()
        return dict(line.split(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    return show


@pytest.fixture
def until():
    """Wait for a condition."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "the condition has not come true"
            time.sleep(0.005)

    return wait
