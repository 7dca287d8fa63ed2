"""A queue on a real Redis, with a clock that the test turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from botmetry import LogSettings, Telemetry
from midas.queue import AITaskQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio import Redis
    from tests.integration.conftest import Clock


@pytest.fixture(name="telemetry")
def _telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry(service="queue-test", log=LogSettings(output="none"))
    yield telemetry
    telemetry.close()


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
