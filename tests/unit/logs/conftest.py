"""An event logger whose lines can be read back at once, and a way to wait for what another thread does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import orjson
import pytest

from botmetry import context
from botmetry.logs import EventLogger
from botmetry.settings import LEVELS, LogSettings

NOON = 1_795_348_800.125  # 2026-11-22T12:00:00.125Z


class Written:
    """Stands where the sink stands and keeps the lines."""

    enabled = True

    def __init__(self) -> None:
        self.raw: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.raw.append(line)

    def announce_drops(self, notice: Callable[[int], bytes]) -> None:
        self.notice = notice

    @property
    def lines(self) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in self.raw]

    @property
    def last(self) -> dict[str, object]:
        return self.lines[-1]


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def errors() -> list[tuple[str, BaseException]]:
    return []


@pytest.fixture
def counted() -> list[str]:
    return []


@pytest.fixture
def make_log(written, errors, counted):
    def make(clock: Callable[[], float] = lambda: NOON, **settings: object) -> EventLogger:
        return EventLogger(
            "shop-bot",
            settings=LogSettings(**settings),
            sink=written,
            on_error=lambda component, error: errors.append((component, error)),
            count={level: partial(counted.append, level) for level in LEVELS},
            clock=clock,
        )

    return make


@pytest.fixture
def log(make_log) -> EventLogger:
    return make_log(level="debug")


@pytest.fixture
def bound():
    """Bind fields for the duration of a test."""
    tokens = []
    yield lambda **fields: tokens.append(context.bind(**fields))
    for token in reversed(tokens):
        context.unbind(token)


@pytest.fixture
def eventually():
    """Wait until a condition holds, at most a minute."""

    def wait(condition: Callable[[], object]) -> None:
        pause = threading.Event()
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true within a minute"
            pause.wait(0.005)

    return wait
