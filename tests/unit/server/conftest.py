"""A telemetry object reduced to what the server sees, so that single parts can be made slow or broken."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest


@dataclass
class StandInCheck:
    probe: Callable[[], object]
    timeout: float = 60.0


class StandInRegistry:
    """Counts its renderings, each of which may be held up by a test."""

    def __init__(self) -> None:
        self.renderings = 0
        self.threads: set[int] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.error: Exception | None = None

    def render(self, *, openmetrics: bool = False, between: Callable[[], object] | None = None) -> bytes:
        self.renderings += 1
        if between is not None:
            between()
        self.threads.add(threading.get_ident())
        assert self.go_on.wait(60)
        if self.error is not None:
            raise self.error
        return f"# openmetrics={openmetrics}\nexample {self.renderings}\n# other\nother 2\n".encode()


class StandInRuntime:
    def __init__(self) -> None:
        self.lags: list[float] = []

    def event_loop_lag(self, seconds: float) -> None:
        self.lags.append(seconds)


@dataclass
class StandInTelemetry:
    service: str = "shop-bot"
    version: str = "1.2.3"
    registry: StandInRegistry = field(default_factory=StandInRegistry)
    runtime: StandInRuntime = field(default_factory=StandInRuntime)
    checks: dict[str, StandInCheck] = field(default_factory=dict)
    refreshes: int = 0
    refresh_error: Exception | None = None
    errors: list[tuple[str, BaseException]] = field(default_factory=list)

    async def refresh(self) -> None:
        self.refreshes += 1
        if self.refresh_error is not None:
            raise self.refresh_error

    def internal_error(self, component: str, error: BaseException) -> None:
        self.errors.append((component, error))


@pytest.fixture
def source():
    return StandInTelemetry()


@pytest.fixture
def make_check():
    return StandInCheck


@pytest.fixture
def eventually():
    """Wait for a condition, with a deadline."""

    async def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in time"
            await asyncio.sleep(0.005)

    return wait
