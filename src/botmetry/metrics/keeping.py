"""Where the numbers of a registry are kept: in the process alone, or in a folder that several processes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from botmetry.metrics.metric import AnyMetric, Counter, Gauge, Histogram
from botmetry.metrics.series import CounterSeries, GaugeSeries, HistogramSeries, Shared
from botmetry.metrics.spec import MetricSpec

__all__ = ["InMemory", "Keeping", "Options"]

_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)


class Options(NamedTuple):
    """What a metric is made with, besides its specification.

    Attributes:
        limit: Series it may have before it overflows; None for no limit.
        failed: Called with its name and what was wrong with a value.
        overflowed: Called with its name at each look-up past the limit.
        exposed: False for one half of a difference.
    """

    limit: int | None
    failed: Callable[[str, BaseException], None]
    overflowed: Callable[[str], None]
    exposed: bool = True


class Keeping(Protocol):
    """Makes the metrics of a registry, and says what is shown of them."""

    def counter(self, spec: MetricSpec, options: Options) -> Counter:
        """Make a counter."""
        ...  # a protocol has no body

    def gauge(self, spec: MetricSpec, options: Options) -> Gauge:
        """Make a gauge or an info metric."""
        ...  # a protocol has no body

    def histogram(self, spec: MetricSpec, options: Options) -> Histogram:
        """Make a histogram."""
        ...  # a protocol has no body

    def view(self, declared: list[AnyMetric]) -> list[AnyMetric]:
        """Return the metrics as a scrape shows them, given those that were declared in this process."""
        ...  # a protocol has no body

    def size(self, metric: AnyMetric) -> int:
        """Return how many series a metric shows."""
        ...  # a protocol has no body


class InMemory:
    """Keeps the numbers of one process in that process."""

    def counter(self, spec: MetricSpec, options: Options) -> Counter:
        """Make a counter."""
        return _made(Counter, CounterSeries, spec, options)

    def gauge(self, spec: MetricSpec, options: Options) -> Gauge:
        """Make a gauge or an info metric."""
        return _made(Gauge, GaugeSeries, spec, options)

    def histogram(self, spec: MetricSpec, options: Options) -> Histogram:
        """Make a histogram."""
        return _made(Histogram, HistogramSeries, spec, options)

    def view(self, declared: list[AnyMetric]) -> list[AnyMetric]:
        """Return the metrics themselves."""
        return declared

    def size(self, metric: AnyMetric) -> int:
        """Return how many series a metric has."""
        return len(metric)


def _made(
    kind: Callable[..., _Metric],
    series: Callable[[Shared, str], object],
    spec: MetricSpec,
    options: Options,
) -> _Metric:
    return kind(
        spec,
        lambda shared, text, _: series(shared, text),
        limit=options.limit,
        failed=options.failed,
        overflowed=options.overflowed,
    )
