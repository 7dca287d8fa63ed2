"""Real processes: forked on request, asked over a pipe, killed and waited for by their number."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from botmetry import LogSettings, Telemetry

DEADLINE_SECONDS = 60.0


@contextmanager
def untraced() -> Iterator[None]:
    """Fork out of the sight of coverage.py.

    It takes a lock at each call of ours, in every thread, and does not renew it in a child: one forked while another
    thread holds it waits for ever, in the first call of ours that it makes.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


class Child:
    """A forked process."""

    def __init__(self, body: Callable[[Connection], None]) -> None:
        self.pipe, theirs = Pipe()
        with untraced():
            self.pid = os.fork()
            if self.pid == 0:
                status = 1
                threading.settrace(None)
                try:
                    self.pipe.close()
                    body(theirs)
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(status)
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

    def fork(body: Callable[[Connection], None]) -> Child:
        children.append(Child(body))
        return children[-1]

    yield fork
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
