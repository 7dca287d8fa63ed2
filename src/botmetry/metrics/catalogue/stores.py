"""What keeps the data: database and Redis, as their clients see them."""

from __future__ import annotations

from typing import Final

from botmetry.metrics import buckets
from botmetry.metrics.catalogue.rows import Rows, counter, gauge, histogram

__all__ = ["DATABASE", "REDIS"]

DATABASE: Final[Rows] = (
    counter(
        "db_queries_total",
        ("operation", "table", "outcome"),
        "Statements sent to the database, and connections (CONNECT) that could not be had.",
    ),
    histogram(
        "db_query_duration_seconds",
        ("operation", "table"),
        buckets.DATABASE_SECONDS,
        "Time a statement took, as the client sees it.",
    ),
    gauge("db_pool_connections", ("state",), "Connections of the pool: idle, in_use, max."),
    histogram(
        "db_pool_wait_seconds", (), buckets.DATABASE_SECONDS, "Time spent waiting for a pooled connection."
    ),
)

REDIS: Final[Rows] = (
    counter("redis_operations_total", ("operation", "outcome"), "Commands sent to Redis."),
    histogram(
        "redis_operation_duration_seconds",
        ("operation",),
        buckets.DATABASE_SECONDS,
        "Time a Redis command took, as the client sees it.",
    ),
    counter("redis_connection_errors_total", (), "Connections to Redis that failed or broke."),
    gauge("redis_pool_connections", ("state",), "Connections of the pool: idle, in_use, max."),
)
