"""What every family is made with: catalogue metrics by name, and operations put together from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from botmetry.instrument import Description, Instrument, Operation, OperationSeries, Reporter
from botmetry.metrics import CATALOGUE, Counter, Gauge, Histogram, MetricSpec, Registry
from botmetry.metrics.series import CounterSeries

__all__ = ["KEPT_LIMIT", "Kept", "Workshop"]

KEPT_LIMIT: Final = 2048
"""Instruments a family keeps; past it they are made anew for each call, so made-up names cannot fill the memory."""

_Key = TypeVar("_Key")


class Workshop:
    """Gives the families their metrics and instruments.

    Attributes:
        registry: Where the metrics live.
        reporter: Where events and spans go.
    """

    def __init__(self, registry: Registry, reporter: Reporter) -> None:
        self.registry = registry
        self.reporter = reporter

    def counter(self, name: str) -> Counter:
        """Return the catalogue's counter of this name."""
        return self.registry.counter(CATALOGUE[name])

    def gauge(self, name: str) -> Gauge:
        """Return the catalogue's gauge of this name."""
        return self.registry.gauge(CATALOGUE[name])

    def histogram(self, name: str) -> Histogram:
        """Return the catalogue's histogram of this name."""
        return self.registry.histogram(CATALOGUE[name])

    def instrument(
        self,
        described: Description,
        seconds: Histogram,
        *labels: str,
        requests: Counter | None = None,
        errors: Counter | None = None,
        started: CounterSeries | None = None,
        on_result: Callable[[Operation, object], None] | None = None,
    ) -> Instrument:
        """Put an operation together whose metrics share `labels`; `requests` adds the outcome, `errors` the class."""
        duration = seconds.labels(*labels)
        series = OperationSeries(
            lambda _: duration,
            outcomes=None if requests is None else lambda outcome: requests.labels(*labels, outcome),
            errors=None if errors is None else lambda error_type: errors.labels(*labels, error_type),
            started=started,
        )
        return Instrument(described, series, self.reporter, on_result)

    def add(self, counter: Counter, amount: float, *labels: str) -> None:
        """Add what the program was told or has computed; what no counter takes is a failure of the telemetry."""
        try:
            counter.labels(*labels).inc(amount)
        except Exception as error:  # noqa: BLE001 - the host goes on whatever it has been told
            self.reporter.failed(f"metrics.{counter.spec.name}", error)

    def took(self, histogram: Histogram, seconds: float, *labels: str) -> None:
        """Observe a time that two clocks tell together: where they disagree it is 0; else as in `add`."""
        try:
            histogram.labels(*labels).observe(max(0.0, seconds))
        except Exception as error:  # noqa: BLE001 - see above
            self.reporter.failed(f"metrics.{histogram.spec.name}", error)

    def unregistered_counter(self, name: str, labels: tuple[str, ...]) -> Counter:
        """Return a counter that is not exposed, with the registry's limits: one half of a difference."""
        return self.registry.unregistered_counter(
            MetricSpec(name, "counter", "One half of a difference.", labels)
        )

    def unregistered_histogram(self, name: str, labels: tuple[str, ...]) -> Histogram:
        """Return a histogram that is not exposed: the other half of a difference, where none is exposed."""
        return self.registry.unregistered_histogram(
            MetricSpec(name, "histogram", "One half of a difference.", labels, buckets=(1.0,))
        )


class Kept(dict[_Key, Instrument]):
    """Instruments by their labels, so that a helper called for each request is bound only once."""

    def get_or_make(self, key: _Key, make: Callable[[], Instrument]) -> Instrument:
        """Return the kept instrument, or make it, and keep it while there is room."""
        kept = self.get(key)
        if kept is None:
            kept = make()
            if len(self) < KEPT_LIMIT:
                self[key] = kept
        return kept
