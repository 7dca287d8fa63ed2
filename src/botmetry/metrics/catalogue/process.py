"""What every process has: its event loop, its telemetry, its memory and its Python."""

from __future__ import annotations

from typing import Final

from botmetry.metrics import buckets
from botmetry.metrics.catalogue.rows import Rows, counter, gauge, histogram, info

__all__ = ["PROCESS", "RUNTIME"]

RUNTIME: Final[Rows] = (
    histogram(
        "event_loop_lag_seconds",
        (),
        buckets.LOOP_LAG_SECONDS,
        "How late the event loop ran a timer: what blocks it blocks every user.",
    ),
    counter("log_records_total", ("level",), "Log records, by level."),
    counter("telemetry_errors_total", ("component",), "Failures of the telemetry itself; it never raises."),
    gauge("telemetry_series", ("metric",), "Label combinations a metric has.", across="max"),
    counter(
        "telemetry_series_overflow_total",
        ("metric",),
        "Look-ups of a label combination past the limit, counted under __other__.",
    ),
    info("botmetry_build_info", ("version", "python_version", "service_version"), "What is running."),
)

PROCESS: Final[Rows] = (
    gauge("process_virtual_memory_bytes", (), "Virtual memory size in bytes."),
    gauge("process_resident_memory_bytes", (), "Resident memory size in bytes."),
    gauge("process_start_time_seconds", (), "Start time of the process since the Unix epoch."),
    counter("process_cpu_seconds_total", (), "User and system CPU time spent."),
    gauge("process_open_fds", (), "Open file descriptors."),
    gauge("process_max_fds", (), "Limit of open file descriptors."),
    counter("python_gc_objects_collected_total", ("generation",), "Objects collected by the gc."),
    counter("python_gc_objects_uncollectable_total", ("generation",), "Objects the gc could not free."),
    counter("python_gc_collections_total", ("generation",), "Runs of the gc, by generation."),
    gauge(
        "python_info",
        ("version", "implementation", "major", "minor", "patchlevel"),
        "The Python that runs this process.",
    ),
)
