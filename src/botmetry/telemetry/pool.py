"""A connection pool's gauge, alike for databases and Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from botmetry.metrics import Gauge
from botmetry.telemetry.probes import Probes

__all__ = ["PoolProbe", "watch_pool"]

PoolProbe: TypeAlias = Callable[[], Mapping[str, int]]


def watch_pool(probes: Probes, name: str, connections: Gauge, probe: PoolProbe) -> None:
    """Set `connections{state}` from `probe` before each scrape."""

    def refresh() -> None:
        for state, number in probe().items():
            connections.labels(state).set(number)

    probes.add(name, refresh, failed=connections.clear)
