"""The redis family: commands, broken connections, and the pool."""

from __future__ import annotations

from botmetry.instrument import Description, Instrument
from botmetry.telemetry.pool import PoolProbe, watch_pool
from botmetry.telemetry.probes import Probes
from botmetry.telemetry.workshop import Kept, Workshop

__all__ = ["Redis"]


class Redis:
    """What a program asks of Redis."""

    def __init__(self, workshop: Workshop, probes: Probes) -> None:
        self._workshop = workshop
        self._probes = probes
        self._operations = workshop.counter("redis_operations_total")
        self._seconds = workshop.histogram("redis_operation_duration_seconds")
        self._errors = workshop.counter("redis_connection_errors_total")
        self._connections = workshop.gauge("redis_pool_connections")
        self._kept: Kept[str] = Kept()

    def operation(self, operation: str) -> Instrument:
        """Count, log (at debug when all is well) and trace a command such as `GET`. Never its key or value."""
        return self._kept.get_or_make(operation, lambda: self._make_operation(operation))

    def connection_error(self) -> None:
        """Count a connection that failed or broke."""
        self._errors.inc()

    def watch_pool(self, probe: PoolProbe) -> None:
        """Ask `probe` before each scrape for the connections by state: idle, in_use, max."""
        watch_pool(self._probes, "redis.watch_pool", self._connections, probe)

    def _make_operation(self, operation: str) -> Instrument:
        fields = {"operation": operation}
        described = Description(
            "redis.operation_executed", f"redis {operation}", "client", fields, ok_level="debug"
        )
        return self._workshop.instrument(described, self._seconds, operation, requests=self._operations)
