"""A scrape of many histogram series that have changed since the last one."""

from __future__ import annotations

from time import perf_counter

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
SERIES_A_CHILD = len(BOUNDS) + 3  # +Inf, count, sum


def _observe(metric, children: int) -> None:
    for number in range(children):
        metric.labels(f"command-{number}", "ok").observe(0.2)


def _ours(series: int) -> float:
    from botmetry import LogSettings, Telemetry

    telemetry = Telemetry("bench", series_limit=None, log=LogSettings(output="none"))
    metric = telemetry.histogram("x_seconds", "x", ("a", "b"), buckets=BOUNDS)
    children = series // SERIES_A_CHILD
    _observe(metric, children)
    telemetry.render()
    _observe(metric, children)
    start = perf_counter()
    text = telemetry.render()
    cost = (perf_counter() - start) * 1e3
    assert text.count(b"x_seconds_bucket{") == children * (len(BOUNDS) + 1)
    return cost


def _client(series: int) -> float:
    from prometheus_client import REGISTRY, Histogram, disable_created_metrics
    from prometheus_client.exposition import generate_latest

    disable_created_metrics()
    metric = Histogram("x_seconds", "x", ["a", "b"], buckets=BOUNDS)
    children = series // SERIES_A_CHILD
    _observe(metric, children)
    generate_latest(REGISTRY)
    _observe(metric, children)
    start = perf_counter()
    text = generate_latest(REGISTRY)
    cost = (perf_counter() - start) * 1e3
    assert text.count(b"x_seconds_bucket{") == children * (len(BOUNDS) + 1)
    return cost


def render_18k() -> float:
    """Ours, 18,000 series."""
    return _ours(18_000)


def render_180k() -> float:
    """Ours, 180,000 series."""
    return _ours(180_000)


def client_18k() -> float:
    """prometheus_client's generate_latest, 18,000 series, `_created` switched off."""
    return _client(18_000)


def client_180k() -> float:
    """prometheus_client's generate_latest, 180,000 series, `_created` switched off."""
    return _client(180_000)
