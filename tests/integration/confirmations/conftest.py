"""Confirmations on a real Redis, with a clock that the test turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from botmetry import LogSettings, Telemetry
from midas.confirmations import ConfirmationService
from midas.queue import connect

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
    telemetry = Telemetry(service="confirmations-test", log=LogSettings(output="none"))
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


@pytest.fixture(name="service")
def _service(redis: Redis, telemetry: Telemetry, clock: Clock) -> ConfirmationService:
    return ConfirmationService(redis, telemetry, clock=clock)


@pytest.fixture(name="others")
async def _others(
    redis_url: str, telemetry: Telemetry, clock: Clock
) -> AsyncIterator[list[ConfirmationService]]:
    """Give two services as two further bot processes would have them, each with its own connections."""
    async with connect(redis_url) as one, connect(redis_url) as two:
        yield [ConfirmationService(client, telemetry, clock=clock) for client in (one, two)]
