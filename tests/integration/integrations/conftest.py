"""A real telemetry object, and what can be read from it: samples and log lines."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from botmetry import LogSettings, Telemetry


class Seen:
    """What a telemetry object shows; each look parses both expositions with prometheus_client."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def samples(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        text = self._telemetry.render().decode()
        list(parse_openmetrics(self._telemetry.render(openmetrics=True).decode()))
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in parse_text(text)
            for sample in family.samples
            if sample.name == name
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples(name).get(tuple(sorted(labels.items())))

    def nonzero(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the values other than 0 by their label values, in the order of the label names."""
        return {
            tuple(value for _, value in labels): sample
            for labels, sample in self.samples(name).items()
            if sample
        }

    def text(self) -> str:
        return self._telemetry.render().decode()


@pytest.fixture(name="telemetry")
def _telemetry(tmp_path):
    telemetry = Telemetry("shop-bot", log=LogSettings(level="debug", output=str(tmp_path / "log.jsonl")))
    yield telemetry
    telemetry.close()


@pytest.fixture(name="seen")
def _seen(telemetry):
    return Seen(telemetry)


@pytest.fixture(name="log_lines")
def _log_lines(telemetry, tmp_path):
    """Read what was logged until now; the log is closed by it."""

    def read(event: str | None = None) -> list[dict[str, object]]:
        telemetry.close()
        lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        return [line for line in lines if event is None or line["event"] == event]

    return read


@pytest.fixture(name="eventually")
def _eventually():
    """Wait for a condition, plain or async, with a deadline."""

    async def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            assert time.monotonic() < deadline, "the condition did not come true in time"
            await asyncio.sleep(0.005)

    return wait
