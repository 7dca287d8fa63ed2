"""A bound counter and histogram, over 10 million calls, so that folding is paid for."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from time import perf_counter

CALLS = 10_000_000
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


def cost_of_inc(inc: Callable[[], None], total: Callable[[], float], calls: int = CALLS) -> float:
    """Return the microseconds of a call, reading the total at the end included."""
    start = perf_counter()
    for _ in range(calls):
        inc()
    counted = total()
    cost = (perf_counter() - start) / calls * 1e6
    assert counted == calls
    return cost


def cost_of_observe(
    observe: Callable[[float], None], total: Callable[[], float], calls: int = CALLS
) -> float:
    """Return the microseconds of a call with values that differ, reading the count at the end included."""
    random = Random(20)
    values = [random.expovariate(4.0) for _ in range(calls // 100)]
    start = perf_counter()
    for _ in range(100):
        for value in values:
            observe(value)
    counted = total()
    cost = (perf_counter() - start) / calls * 1e6
    assert counted == calls
    return cost


def _telemetry():
    from botmetry import LogSettings, Telemetry

    return Telemetry("bench", log=LogSettings(output="none"))


def counter() -> float:
    """Our counter, read at the end."""
    series = _telemetry().counter("x_total", "x", ("a",)).labels("1")
    return cost_of_inc(series.inc, series.value)


def histogram() -> float:
    """Our histogram, read at the end."""
    series = _telemetry().histogram("x_seconds", "x", ("a",), buckets=BOUNDS).labels("1")
    return cost_of_observe(series.observe, series.count)


def client_counter() -> float:
    """prometheus_client's counter."""
    from prometheus_client import Counter

    child = Counter("x", "x", ["a"]).labels("1")
    return cost_of_inc(child.inc, child._value.get)


def client_histogram() -> float:
    """prometheus_client's histogram."""
    from prometheus_client import Histogram

    child = Histogram("x_seconds", "x", ["a"], buckets=BOUNDS).labels("1")
    return cost_of_observe(child.observe, lambda: sum(bucket.get() for bucket in child._buckets))
