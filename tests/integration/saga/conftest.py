"""Sagas on a real Redis, with a world that they change and a clock that the test turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from botmetry import LogSettings, Telemetry
from midas.saga import SagaConfig, SagaOrchestrator
from midas.saga.keys import SagaKeys

from .world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from redis.asyncio import Redis


@pytest.fixture(name="log_file")
def _log_file(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


@pytest.fixture(name="telemetry")
def _telemetry(log_file: Path) -> Iterator[Telemetry]:
    telemetry = Telemetry(service="saga-test", log=LogSettings(level="debug", output=str(log_file)))
    yield telemetry
    telemetry.close()


@pytest.fixture(name="world")
def _world(redis: Redis) -> World:
    return World(redis, SagaKeys("order"))


@pytest.fixture(name="config")
def _config(redis_url: str) -> Callable[..., SagaConfig]:
    """Make settings whose pauses are too short to wait for."""

    def make(**options) -> SagaConfig:
        quick = {"redis_url": redis_url, "name": "order", "first_pause": 0.001, "longest_pause": 0.002}
        return SagaConfig(**{**quick, "recovery_pause": 0.05, **options})

    return make


@pytest.fixture(name="orchestrate")
async def _orchestrate(config, telemetry: Telemetry) -> AsyncIterator[Callable[..., SagaOrchestrator]]:
    """Make orchestrators that are closed after the test."""
    made: list[SagaOrchestrator] = []

    def make(steps, *, clock=None, sender=None, older=None, **options) -> SagaOrchestrator:
        settings = config(**options)
        orchestrator = SagaOrchestrator(
            steps, settings, older=older, telemetry=telemetry, clock=clock, sender=sender
        )
        made.append(orchestrator)
        return orchestrator

    yield make
    for orchestrator in made:
        await orchestrator.aclose()
