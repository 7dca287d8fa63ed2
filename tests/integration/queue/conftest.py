"""A queue on a real Redis, with a clock that the test turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from botmetry import LogSettings, Telemetry
from midas.queue import AITaskQueue, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from redis.asyncio import Redis


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


@pytest.fixture(name="telemetry")
def _telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry(service="queue-test", log=LogSettings(output="none"))
    yield telemetry
    telemetry.close()


@pytest.fixture(name="metric")
def _metric(telemetry: Telemetry) -> Callable[..., float]:
    """Give the value of a sample, 0 where there is none."""

    def read(name: str, **labels: str) -> float:
        samples = [sample for family in telemetry.registry.collect() for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    return read


@pytest.fixture(name="redis")
async def _redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as client:
        yield client


@pytest.fixture(name="queue")
async def _queue(redis: Redis, telemetry: Telemetry, clock: Clock) -> AsyncIterator[AITaskQueue]:
    """Give a queue whose tasks time out after 30 s of the test's clock, and whose leases last 15 s."""
    async with AITaskQueue(redis, telemetry=telemetry, clock=clock) as queue:
        yield queue


@pytest.fixture(name="live_queue")
async def _live_queue(redis: Redis, telemetry: Telemetry) -> AsyncIterator[AITaskQueue]:
    """Give a queue that goes by the Redis server's clock, as in production."""
    async with AITaskQueue(redis, telemetry=telemetry) as queue:
        yield queue
