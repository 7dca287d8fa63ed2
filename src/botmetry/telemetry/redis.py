"""The redis family: commands, broken connections, and the pool."""

from __future__ import annotations

from collections.abc import Callable

from botmetry.instrument import Description, Instrument
from botmetry.telemetry.pool import PoolProbe, Pools
from botmetry.telemetry.probes import Probes
from botmetry.telemetry.workshop import Kept, Workshop

__all__ = ["Redis"]


class Redis:
    """What a program asks of Redis."""

    def __init__(self, workshop: Workshop, probes: Probes) -> None:
        self._workshop = workshop
        self._operations = workshop.counter("redis_operations_total")
        self._seconds = workshop.histogram("redis_operation_duration_seconds")
        self._errors = workshop.counter("redis_connection_errors_total")
        self._pools = Pools(probes, "redis.watch_pool", workshop.gauge("redis_pool_connections"))
        self._kept: Kept[str] = Kept()

    def operation(self, operation: str) -> Instrument:
        """Count, log (at debug when all is well) and trace a command such as `GET`. Never its key or value."""
        return self._kept.get_or_make(operation, lambda: self._make_operation(operation))

    def connection_error(self) -> None:
        """Count a connection that failed or broke."""
        self._errors.inc()

    def watch_pool(self, probe: PoolProbe) -> Callable[[], None]:
        """Ask `probe` before each scrape for a pool's connections by state (idle, in_use, max); returns the undo.

        Several pools are added up.
        """
        return self._pools.watch(probe)

    def _make_operation(self, operation: str) -> Instrument:
        fields = {"operation": operation}
        described = Description(
            "redis.operation_executed", f"redis {operation}", "client", fields, ok_level="debug"
        )
        return self._workshop.instrument(described, self._seconds, operation, requests=self._operations)
