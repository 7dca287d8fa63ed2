"""The runtime family: the process, its event loop, its log, and the telemetry's own health."""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from botmetry import __version__
from botmetry.metrics import AnyMetric, Collector
from botmetry.telemetry.workshop import Workshop

__all__ = ["Runtime"]


class Runtime:
    """How the process itself is."""

    def __init__(self, workshop: Workshop, service_version: str, processes: Collector | None = None) -> None:
        """Make the family.

        Args:
            workshop: What it is made with.
            service_version: Of the user's program.
            processes: Shows `process_*` of several processes; by default they are shown of this one, and
                `python_gc_*` with them, which nobody can ask another process for.
        """
        self._registry = workshop.registry
        self._lag = workshop.histogram("event_loop_lag_seconds")
        self._records = workshop.counter("log_records_total")
        self._series = workshop.gauge("telemetry_series")
        build = workshop.gauge("botmetry_build_info")
        build.labels(__version__, platform.python_version(), service_version).set(1)
        for level in ("debug", "info", "warning", "error", "critical"):
            self._records.labels(level)  # an explicit 0 from the start
        workshop.registry.register_process(PlatformCollector(registry=CollectorRegistry()))
        if processes is not None:
            workshop.registry.register_process(processes)
            return
        for collector in (ProcessCollector, GCCollector):
            workshop.registry.register_process(collector(registry=CollectorRegistry()))

    def event_loop_lag(self, seconds: float) -> None:
        """Observe how late a timer ran, in seconds."""
        self._lag.observe(seconds)

    def log_record(self, level: str) -> None:
        """Count a log record of a level."""
        self._records.labels(level).inc()

    def watch_series(self, metric: AnyMetric) -> None:
        """Show at each scrape how many series a metric has."""
        self._series.labels(metric.spec.name).set_function(lambda: float(self._registry.size(metric)))
