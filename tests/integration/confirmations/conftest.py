"""Confirmations on a real Redis, with a clock that the test turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from botmetry import LogSettings, Telemetry
from midas.confirmations import ConfirmationService
from midas.redis import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio import Redis
    from tests.integration.conftest import Clock


@pytest.fixture(name="telemetry")
def _telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry(service="confirmations-test", log=LogSettings(output="none"))
    yield telemetry
    telemetry.close()


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
