"""A connection pool's gauge, alike for databases and Redis: the sum of all pools that a program has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeAlias

from botmetry.metrics import Gauge
from botmetry.telemetry.probes import Probes

__all__ = ["PoolProbe", "Pools"]

PoolProbe: TypeAlias = Callable[[], Mapping[str, int]]


class Pools:
    """The pools behind one gauge.

    Args:
        probes: Asks before each scrape.
        name: What a failure is counted under.
        connections: The gauge, by state.
    """

    def __init__(self, probes: Probes, name: str, connections: Gauge) -> None:
        self._probes = probes
        self._name = name
        self._connections = connections
        self._pools: list[PoolProbe] = []

    def watch(self, probe: PoolProbe) -> Callable[[], None]:
        """Add the connections of a pool, by state, from the next scrape on; returns the undo."""
        self._pools.append(probe)
        self._probes.add(self._name, self._refresh, failed=self._connections.clear)

        def undo() -> None:
            if probe in self._pools:
                self._pools.remove(probe)

        return undo

    def _refresh(self) -> None:
        total: Counter[str] = Counter()
        for probe in tuple(self._pools):
            total.update(probe())
        for (state,), series in self._connections.series():
            series.set(total.pop(state, 0))
        for state, number in total.items():
            self._connections.labels(state).set(number)
