"""The database family: statements, and the pool they wait for."""

from __future__ import annotations

from collections.abc import Callable

from botmetry.instrument import Description, Instrument
from botmetry.telemetry.pool import PoolProbe, Pools
from botmetry.telemetry.probes import Probes
from botmetry.telemetry.workshop import Kept, Workshop

__all__ = ["Database"]


class Database:
    """What a program asks of its database."""

    def __init__(self, workshop: Workshop, probes: Probes) -> None:
        self._workshop = workshop
        self._queries = workshop.counter("db_queries_total")
        self._seconds = workshop.histogram("db_query_duration_seconds")
        self._pools = Pools(probes, "database.watch_pool", workshop.gauge("db_pool_connections"))
        self._wait = workshop.histogram("db_pool_wait_seconds")
        self._kept: Kept[tuple[str, str]] = Kept()

    def query(self, operation: str, table: str) -> Instrument:
        """Count, log (at debug when all is well) and trace a statement such as `SELECT` on `transactions`."""
        return self._kept.get_or_make((operation, table), lambda: self._make_query(operation, table))

    def pool_waited(self, seconds: float) -> None:
        """Observe the seconds spent waiting for a pooled connection."""
        self._wait.observe(seconds)

    def watch_pool(self, probe: PoolProbe) -> Callable[[], None]:
        """Ask `probe` before each scrape for a pool's connections by state (idle, in_use, max); returns the undo.

        Several pools are added up.
        """
        return self._pools.watch(probe)

    def _make_query(self, operation: str, table: str) -> Instrument:
        fields = {"operation": operation, "table": table}
        described = Description(
            "db.query_executed", f"{operation} {table}", "client", fields, ok_level="debug"
        )
        return self._workshop.instrument(described, self._seconds, operation, table, requests=self._queries)
