"""Memory of 10,000 histogram series, each observed and once scraped."""

from __future__ import annotations

from cases.exposition import BOUNDS

CHILDREN = 10_000


def _resident_mib() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 2**20


def botmetry() -> float:
    """Ours."""
    from botmetry import LogSettings, Telemetry

    telemetry = Telemetry("bench", series_limit=None, log=LogSettings(output="none"))
    metric = telemetry.histogram("x_seconds", "x", ("a",), buckets=BOUNDS)
    before = _resident_mib()
    for number in range(CHILDREN):
        metric.labels(f"command-{number}").observe(0.2)
    return _resident_mib() - before


def client() -> float:
    """prometheus_client's."""
    from prometheus_client import Histogram

    metric = Histogram("x_seconds", "x", ["a"], buckets=BOUNDS)
    before = _resident_mib()
    for number in range(CHILDREN):
        metric.labels(f"command-{number}").observe(0.2)
    return _resident_mib() - before
