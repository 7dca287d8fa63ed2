"""The metrics of one `Telemetry`, as an ordinary prometheus_client collector with a faster exposition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate, islice
from threading import Lock
from typing import TypeVar

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar as ClientExemplar

from botmetry.errors import MetricError
from botmetry.metrics.beside import EOF, Beside, Collector
from botmetry.metrics.forks import in_children
from botmetry.metrics.format import bound_text
from botmetry.metrics.keeping import InMemory, Keeping, Options
from botmetry.metrics.metric import AnyMetric, Counter, Gauge, Histogram
from botmetry.metrics.series import CounterSeries, Exemplar, HistogramSeries
from botmetry.metrics.spec import MetricSpec

__all__ = ["Registry"]

_AnyMetric = TypeVar("_AnyMetric", Counter, Gauge, Histogram)
_BLOCK_SERIES = 128  # of a histogram with 14 buckets: 0.7 ms of work


class Registry:
    """Declares metrics, holds them, and writes them out.

    It can be registered in a prometheus_client registry (`REGISTRY.register(telemetry.registry)`), and a
    prometheus_client collector or registry can be registered here.
    """

    def __init__(
        self,
        *,
        series_limit: int | None = 1000,
        series_limits: Mapping[str, int | None] | None = None,
        failed: Callable[[str, BaseException], None],
        overflowed: Callable[[str], None],
        keeping: Keeping | None = None,
    ) -> None:
        """Make an empty registry.

        Args:
            series_limit: Series a metric may have; None for no limit.
            series_limits: Other limits for single metrics, by name.
            failed: Called with a metric's name and what was wrong with a value.
            overflowed: Called with a metric's name at each look-up past its limit.
            keeping: Where the numbers are kept; by default in this process, for itself.
        """
        self._series_limit = series_limit
        self._series_limits = {name: _limit(name, limit) for name, limit in (series_limits or {}).items()}
        self._failed = failed
        self._overflowed = overflowed
        self._metrics: dict[str, AnyMetric] = {}
        self._unregistered: list[Counter | Histogram] = []
        self._taken: dict[str, str] = {}  # which metric has a name for itself or one of its samples
        self._beside = Beside(self, self._taken, failed)
        self._keeping = keeping or InMemory()
        self._lock = Lock()
        in_children(self.renew_locks)

    def counter(self, spec: MetricSpec) -> Counter:
        """Declare a counter, or return it when it is declared alike already.

        Raises:
            MetricError: The name is taken by another declaration.
        """
        return self._declare(spec, Counter, self._keeping.counter)

    def gauge(self, spec: MetricSpec) -> Gauge:
        """Declare a gauge or an info metric; see `counter`."""
        return self._declare(spec, Gauge, self._keeping.gauge)

    def histogram(self, spec: MetricSpec) -> Histogram:
        """Declare a histogram; see `counter`."""
        return self._declare(spec, Histogram, self._keeping.histogram)

    def unregistered_counter(self, spec: MetricSpec) -> Counter:
        """Make a counter that is not exposed, with the same limits: one half of a difference."""
        made = self._keeping.counter(spec, self._options(self._series_limit, exposed=False))
        self._unregistered.append(made)
        return made

    def unregistered_histogram(self, spec: MetricSpec) -> Histogram:
        """Make a histogram that is not exposed, likewise."""
        made = self._keeping.histogram(spec, self._options(self._series_limit, exposed=False))
        self._unregistered.append(made)
        return made

    def limit(self, name: str, series_limit: object) -> None:
        """Set the number of series a metric may have, before it is declared.

        Raises:
            MetricError: It is neither None nor at least 1.
        """
        self._series_limits[name] = _limit(name, series_limit)

    def metrics(self) -> list[AnyMetric]:
        """Return the declared metrics, in the order of their declaration."""
        return list(self._metrics.values())

    def size(self, metric: AnyMetric) -> int:
        """Return how many series a metric has, in all processes that share it."""
        return self._keeping.size(metric)

    def register(self, collector: Collector) -> None:
        """Expose a prometheus_client collector, or a whole prometheus_client registry, beside our metrics.

        Doing it twice is doing it once. A collector without `describe` tells its families at a scrape only; one that
        has a name of ours is left out there and counted in `telemetry_errors_total`.

        Raises:
            MetricError: It has a metric that is shown here already, and parsers refuse what is shown twice.
        """
        names = self._beside.described(collector)  # foreign code, which may declare a metric here
        with self._lock:
            self._beside.register(collector, names)

    def unregister(self, collector: Collector) -> None:
        """Take back `register`."""
        with self._lock:
            self._beside.unregister(collector)

    def register_process(self, collector: Collector) -> None:
        """Expose a collector of the process itself, unless a registered registry brings the same metrics.

        These are left out of `collect`: a prometheus_client registry that we are registered in has its own.
        """
        self._beside.process.append(collector)

    def render(self, *, openmetrics: bool = False, between: Callable[[], object] | None = None) -> bytes:
        """Return the exposition: text format 0.0.4, or OpenMetrics 1.0.

        Args:
            openmetrics: Whether it is the latter.
            between: Called after every 128 series or so, in which a thread that renders may let others run.
        """
        pieces = (piece for metric in self._shown() for piece in metric.render(openmetrics=openmetrics))
        blocks: list[bytes] = []
        while block := "".join(islice(pieces, _BLOCK_SERIES)):
            blocks.append(block.encode())
            if between is not None:
                between()
        blocks.append(self._beside.render(openmetrics=openmetrics))
        if openmetrics:
            blocks.append(EOF)
        return b"".join(blocks)  # which lets other threads run while it copies more than a megabyte

    def collect(self) -> Iterator[Family]:
        """Yield every metric as prometheus_client's own families."""
        if self._beside.asked_meanwhile():
            return  # a registry that is registered here has us in it
        for metric in self._shown():
            yield _family(metric)
        yield from self._beside.families(for_theirs=True)

    def describe(self) -> Iterator[Family]:
        """Yield every metric without samples, which lets another registry see clashing names."""
        for metric in self.metrics():
            yield _empty_family(metric.spec)

    def renew_locks(self) -> None:
        """Take new locks, here and in the metrics: in a forked child, where those held would never be released."""
        self._lock = Lock()
        for metric in (*self._metrics.values(), *self._unregistered):
            metric.renew_locks()

    def _shown(self) -> list[AnyMetric]:
        return self._keeping.view(self.metrics())

    def _options(self, limit: int | None, *, exposed: bool = True) -> Options:
        return Options(limit, self._failed, self._overflowed, exposed)

    def _declare(
        self, spec: MetricSpec, kind: type[_AnyMetric], make: Callable[[MetricSpec, Options], _AnyMetric]
    ) -> _AnyMetric:
        with self._lock:
            there = self._metrics.get(spec.name)
            if there is None:
                self._refuse_overlap(spec)
                made = make(spec, self._options(self._series_limits.get(spec.name, self._series_limit)))
                self._metrics[spec.name] = made
                self._taken.update(dict.fromkeys(_names_of(spec), spec.name))
                return made
        if isinstance(there, kind) and there.spec == spec:
            return there
        raise MetricError(
            spec.name, f"is declared already, as {there.spec.kind} with labels {there.spec.labels}"
        )

    def _refuse_overlap(self, spec: MetricSpec) -> None:
        names = _names_of(spec)
        for name in names:
            if name in self._taken:
                raise MetricError(spec.name, f"its sample {name} would collide with {self._taken[name]}")
        self._beside.refuse(spec.name, names)


def _limit(metric: str, limit: object) -> int | None:
    if limit is None or (isinstance(limit, int) and limit >= 1):
        return limit
    raise MetricError(
        metric, f"series_limit={limit!r} cannot be used: expected at least 1, or None for no limit"
    )


def _names_of(spec: MetricSpec) -> tuple[str, ...]:
    """Return the names that nothing else in an exposition may have: the family's and those of its samples."""
    return (*spec.series, spec.base)


def _empty_family(spec: MetricSpec) -> Family:
    return Family(spec.base, spec.help, spec.kind, unit=spec.unit if spec.kind != "info" else "")


def _family(metric: AnyMetric) -> Family:
    spec = metric.spec
    family = _empty_family(spec)
    for values, series in metric.series():
        labels = dict(zip(spec.labels, values, strict=True))
        if isinstance(series, HistogramSeries):
            _add_histogram(family, spec, labels, series)
        elif isinstance(series, CounterSeries):
            family.add_sample(spec.name, labels, series.value(), exemplar=_client_exemplar(series.exemplar()))
        else:
            family.add_sample(spec.name, labels, series.value())
    return family


def _add_histogram(family: Family, spec: MetricSpec, labels: dict[str, str], series: HistogramSeries) -> None:
    counts, total = series.state()
    exemplars = series.exemplars() or {}
    cumulative = list(accumulate(counts))
    for index, (bound, count) in enumerate(zip((*spec.buckets, float("inf")), cumulative, strict=True)):
        family.add_sample(
            spec.name + "_bucket",
            {**labels, "le": bound_text(bound)},
            count,
            exemplar=_client_exemplar(exemplars.get(index)),
        )
    family.add_sample(spec.name + "_count", labels, cumulative[-1])
    family.add_sample(spec.name + "_sum", labels, total)


def _client_exemplar(exemplar: Exemplar | None) -> ClientExemplar | None:
    if exemplar is None:
        return None
    return ClientExemplar(dict(exemplar.labels), exemplar.value, exemplar.timestamp)
