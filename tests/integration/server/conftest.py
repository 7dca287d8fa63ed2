"""A real telemetry object and ways to hold its scrape up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable

import aiohttp
import pytest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from botmetry import LogSettings, ServerSettings, Telemetry
from botmetry.server import Serving

HOLD_SECONDS = 60.0


class SlowCollector:
    """A foreign collector that is held up until a test lets it go on."""

    def __init__(self) -> None:
        self.collections = 0
        self.go_on = threading.Event()
        self.error: Exception | None = None

    def collect(self) -> Iterable[Metric]:
        self.collections += 1
        assert self.go_on.wait(HOLD_SECONDS)
        if self.error is not None:
            raise self.error
        yield GaugeMetricFamily("slow_things", "Things that take long to count.", value=7)


@pytest.fixture(name="telemetry")
def _telemetry():
    telemetry = Telemetry("shop-bot", version="1.2.3", log=LogSettings(output="none"))
    yield telemetry
    telemetry.close()


@pytest.fixture(name="slow")
def _slow(telemetry):
    collector = SlowCollector()
    telemetry.registry.register(collector)
    yield collector
    collector.go_on.set()


@pytest.fixture(name="serving")
def _serving(telemetry):
    """Make a server on a free port, with other settings where a test asks for them."""

    def serving(**options) -> Serving:
        return Serving(telemetry, ServerSettings(**{"port": 0, **options}))

    return serving


@pytest.fixture(name="http")
async def _http():
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture(name="eventually")
def _eventually():
    """Wait for a condition, with a deadline."""

    async def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in time"
            await asyncio.sleep(0.005)

    return wait
