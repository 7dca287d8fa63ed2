"""Registries that share a folder: each stands for the registry of one process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from botmetry.metrics import MetricSpec, Registry
from botmetry.metrics.prefork import InFolder

BOUNDS = (0.1, 1.0, 10.0)


@dataclass
class Sharing:
    """One process's registry, with a metric of each kind."""

    registry: Registry
    keeping: InFolder
    failures: list[BaseException]

    def __post_init__(self) -> None:
        self.counter = self.registry.counter(MetricSpec("done_total", "counter", "Done.", ("task",)))
        self.histogram = self.registry.histogram(
            MetricSpec("wait_seconds", "histogram", "Waited.", ("task",), BOUNDS)
        )
        self.gauge = self.registry.gauge(MetricSpec("open", "gauge", "Open.", ("task",)))
        self.highest = self.registry.gauge(MetricSpec("highest", "gauge", "Highest.", across="max"))
        self.latest = self.registry.gauge(
            MetricSpec("latest", "gauge", "Latest.", ("task",), across="latest")
        )

    def lines(self, *, openmetrics: bool = False) -> dict[str, str]:
        """Return what a scrape here shows: sample to value."""
        text = self.registry.render(openmetrics=openmetrics).decode()
        return dict(line.split(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    def end(self) -> None:
        """End like a process: the kernel gives the lock up, and the file stays."""
        ledger = self.keeping._ledger
        ledger._renew()
        assert ledger.own == []


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "shared"
    path.mkdir()
    return path


@pytest.fixture
def sharing(folder):
    """Make the registry of another process that shares the folder."""

    def make(series_limit: int | None = 1000) -> Sharing:
        failures: list[BaseException] = []
        keeping = InFolder(str(folder), failures.append)
        registry = Registry(
            series_limit=series_limit,
            failed=lambda _, error: failures.append(error),
            overflowed=lambda _: None,
            keeping=keeping,
        )
        return Sharing(registry, keeping, failures)

    return make


@pytest.fixture
def files(folder):
    """Return the names of the files of processes."""
    return lambda: sorted(path.name for path in folder.glob("*.live"))
