"""The user's own metrics, on the same hot path as the catalogue's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, TypeVar

from botmetry.errors import MetricError
from botmetry.metrics import CATALOGUE, Across, Counter, Gauge, Histogram, MetricSpec, Registry
from botmetry.telemetry.runtime import Runtime

__all__ = ["DEFAULT_BUCKETS", "OwnMetrics"]

DEFAULT_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Of an own histogram that names none: prometheus_client's, which suit the latency of a request."""

_NO_OVERRIDE: Final = object()
_Limit: TypeAlias = int | None
_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)


class OwnMetrics:
    """Declares metrics beside the catalogue.

    Attributes:
        registry: Where they live.
        runtime: Shows how many series each has.
    """

    registry: Registry
    runtime: Runtime

    def counter(
        self,
        name: str,
        help: str,  # noqa: A002 - as everyone knows it
        labels: Iterable[str] = (),
        *,
        series_limit: _Limit | object = _NO_OVERRIDE,
    ) -> Counter:
        """Declare a counter; its name ends in `_total`. Declaring it again returns the same one.

        Raises:
            MetricError: The declaration is not valid, or the name is taken by another one.
        """
        return self._own(
            self.registry.counter, MetricSpec(name, "counter", help, _labels(name, labels)), series_limit
        )

    def gauge(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Iterable[str] = (),
        *,
        series_limit: _Limit | object = _NO_OVERRIDE,
        across: Across = "sum",
    ) -> Gauge:
        """Declare a gauge; see `counter`.

        With `prefork`, `across` says how the values of several processes become one: their sum, their maximum, or
        the latest of them.
        """
        spec = MetricSpec(name, "gauge", help, _labels(name, labels), across=across)
        return self._own(self.registry.gauge, spec, series_limit)

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Iterable[str] = (),
        *,
        buckets: Iterable[float] = DEFAULT_BUCKETS,
        series_limit: _Limit | object = _NO_OVERRIDE,
    ) -> Histogram:
        """Declare a histogram with ascending upper bounds, without +Inf; see `counter`."""
        bounds = tuple(float(bound) for bound in buckets)
        spec = MetricSpec(name, "histogram", help, _labels(name, labels), bounds)
        return self._own(self.registry.histogram, spec, series_limit)

    def _own(
        self, declare: Callable[[MetricSpec], _Metric], spec: MetricSpec, series_limit: object
    ) -> _Metric:
        if spec.name in CATALOGUE:
            raise MetricError(spec.name, "is in botmetry's catalogue; give your own metric another name")
        if series_limit is not _NO_OVERRIDE:
            self.registry.limit(spec.name, series_limit)
        metric = declare(spec)
        self.runtime.watch_series(metric)
        return metric


def _labels(metric: str, labels: Iterable[str]) -> tuple[str, ...]:
    if isinstance(labels, str):
        raise MetricError(metric, f"labels is the text {labels!r}; write labels=({labels!r},)")
    return tuple(labels)
