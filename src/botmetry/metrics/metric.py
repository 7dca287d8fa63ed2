"""A metric: its series by label values, never more of them than its limit.

Past the limit, a label value that the metric has not seen becomes `__other__` while those it knows stay, so that
`outcome="error"` still alerts when `command` explodes. The overflow is itself bounded: after
`OVERFLOW_SERIES` such series every label is `__other__`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator, Mapping
from copy import copy
from itertools import accumulate
from threading import Lock, RLock
from typing import Final, Generic, Self, TypeAlias, TypeVar

from botmetry.errors import MetricError
from botmetry.metrics.catalogue import OTHER
from botmetry.metrics.format import exemplar_text, head, number, series_text, valid_unicode
from botmetry.metrics.series import CounterSeries, Exemplar, GaugeSeries, HistogramSeries, Labels, Shared
from botmetry.metrics.spec import MetricSpec

__all__ = ["OVERFLOW_SERIES", "AnyMetric", "Counter", "Gauge", "Histogram", "Metric", "overflow_key"]

OVERFLOW_SERIES: Final = 32
"""Series that may exist past the limit, for the known values of the other labels (outcomes, states)."""

_Series = TypeVar("_Series", CounterSeries, GaugeSeries, HistogramSeries)
_Values: TypeAlias = tuple[str, ...]


def overflow_key(
    key: _Values, known: tuple[frozenset[str], ...], taken: Container[_Values], *, room: bool
) -> _Values:
    """Return the label values under which a metric past its limit counts `key`.

    Args:
        key: What was asked for.
        known: The values that the metric has for each label.
        taken: The series that it has.
        room: Whether there may be one more.
    """
    folded = tuple(value if value in seen else OTHER for value, seen in zip(key, known, strict=True))
    if folded == key or not (room or folded in taken):
        return (OTHER,) * len(key)
    return folded


class Metric(ABC, Generic[_Series]):
    """The series of one metric, by label values.

    Attributes:
        spec: What the metric is.
        limit: Series it may have before it overflows; None for no limit.
    """

    def __init__(
        self,
        spec: MetricSpec,
        make: Callable[[Shared, str, _Values], _Series],
        *,
        limit: int | None,
        failed: Callable[[str, BaseException], None],
        overflowed: Callable[[str], None],
        forget: Callable[[_Values | None, list[_Series]], None] | None = None,
    ) -> None:
        """Declare the metric.

        Args:
            spec: What it is.
            make: Makes a series: of what all of them share, its text and its label values.
            limit: Series it may have before it overflows; None for no limit.
            failed: Called with the metric's name and what was wrong with a value.
            overflowed: Called with the metric's name at each look-up past the limit.
            forget: Called with the label values that were removed, None for all, and the series that were here.
        """
        self.spec = spec
        self.limit = limit
        self._make: Callable[[Shared, str, _Values], _Series] = make
        self._forget: Callable[[_Values | None, list[_Series]], None] | None = forget
        self._shared = Shared(spec.name, spec.buckets, failed)
        self._overflowed = overflowed
        self._series: dict[_Values, _Series] = {}
        self._known: tuple[frozenset[str], ...] | None = None
        self._adding = RLock()
        if not spec.labels:
            self._add(())

    def labels(self, *values: object, **named: object) -> _Series:
        """Return the series of these label values, made on first use. Keep it where a path is hot.

        Raises:
            MetricError: The labels are not those that the metric was declared with.
        """
        try:
            series = self._series.get(values) if not named else None  # type: ignore[arg-type]  # unlike types miss
        except TypeError:  # a list or the like, which is a label value as its text
            series = None
        return series if series is not None else self._find(values, named)

    def remove(self, *values: object) -> None:
        """Forget one series; unknown values are forgotten already."""
        key = tuple(valid_unicode(str(value)) for value in values)
        with self._adding:
            series = self._series.pop(key, None)
            self._known = None  # looked up anew at the next overflow, with what has taken its place
        if self._forget is not None:
            self._forget(key, [] if series is None else [series])

    def clear(self) -> None:
        """Forget all series; a metric without labels starts again at 0."""
        with self._adding:
            gone = list(self._series.values())
            self._series.clear()
            self._known = None
        if self._forget is not None:
            self._forget(None, gone)
        if not self.spec.labels:
            self._add(())

    def with_series(self, series: dict[_Values, _Series]) -> Self:
        """Return a metric of the same declaration that shows these series instead of its own."""
        other = copy(self)
        other._series = series  # noqa: SLF001 - it is a copy of this one
        return other

    def renew_locks(self) -> None:
        """Take new locks: in a forked child, where a lock that another thread held would never be released."""
        self._adding = RLock()
        self._shared.lock = Lock()

    def series(self) -> list[tuple[_Values, _Series]]:
        """Return the series with their label values, as they are now."""
        # To copy is one step of the interpreter. To list pairs is many: each is made, which may collect garbage, and
        # finalizers and other threads run meanwhile and make series.
        return list(self._series.copy().items())

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self._series)

    def render(self, *, openmetrics: bool) -> Iterator[str]:
        """Yield the metric's part of the exposition, a piece a series."""
        yield head(self.spec, openmetrics=openmetrics)
        for series in list(self._series.values()):
            yield self._line(series, openmetrics=openmetrics)

    @abstractmethod
    def _line(self, series: _Series, *, openmetrics: bool) -> str: ...

    def _find(self, values: tuple[object, ...], named: Mapping[str, object]) -> _Series:
        key = self._key(values, named)
        series = self._series.get(key)
        if series is not None:
            return series
        if self.limit is None or len(self._series) < self.limit or not self.spec.labels:
            return self._add(key)
        self._overflowed(self.spec.name)
        return self._overflow(key)

    def _key(self, values: tuple[object, ...], named: Mapping[str, object]) -> _Values:
        names = self.spec.labels
        if named and (values or set(named) != set(names)):
            raise MetricError(self.spec.name, f"labels({', '.join(named)}) does not match {names}")
        if len(values or named) != len(names):
            raise MetricError(self.spec.name, f"labels() got {len(values)} values for {names}")
        given = [named[name] for name in names] if named else values
        return tuple(valid_unicode(value if isinstance(value, str) else str(value)) for value in given)

    def _overflow(self, key: _Values) -> _Series:
        with self._adding:
            if self._known is None:
                self._known = tuple(map(frozenset, zip(*self._series, strict=True)))
            known = self._known
        room = len(self._series) < (self.limit or 0) + OVERFLOW_SERIES
        folded = overflow_key(key, known, self._series, room=room)
        return self._series.get(folded) or self._add(folded)

    def _add(self, key: _Values) -> _Series:
        with self._adding:
            series = self._series.get(key)
            if series is None:
                made = self._make(self._shared, series_text(self.spec, key), key)
                # Not a plain assignment: a finalizer may have run meanwhile and asked for the same series.
                series = self._series.setdefault(key, made)
            return series


class Counter(Metric[CounterSeries]):
    """A number that only grows."""

    def inc(self, amount: float = 1.0, exemplar: Labels | None = None) -> None:
        """Add `amount` to the series without labels."""
        self.labels().inc(amount, exemplar)

    def _line(self, series: CounterSeries, *, openmetrics: bool) -> str:
        line = series.text % number(series.value())
        exemplar = series.exemplar() if openmetrics else None
        return line if exemplar is None else line[:-1] + exemplar_text(exemplar) + "\n"


class Gauge(Metric[GaugeSeries]):
    """A number that goes up and down. An info metric is one whose value is 1.

    Attributes:
        answer: Gives, at each scrape here, the value of the series that any process has, from its label values.
    """

    answer: Callable[..., float] | None = None

    def answered(self, values: _Values) -> float:
        """Return what `answer` says of a series; NaN when it fails."""
        try:
            return float(self.answer(*values)) if self.answer is not None else math.nan
        except Exception as error:  # noqa: BLE001 - a scrape must go on whatever a function raises
            self._shared.failed(self.spec.name, error)
            return math.nan

    def set(self, value: float) -> None:
        """Set the series without labels."""
        self.labels().set(value)

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount` to the series without labels."""
        self.labels().inc(amount)

    def dec(self, amount: float = 1.0) -> None:
        """Subtract `amount` from the series without labels."""
        self.labels().dec(amount)

    def set_to_current_time(self) -> None:
        """Set the series without labels to the Unix time in seconds."""
        self.labels().set_to_current_time()

    def set_function(self, function: Callable[[], float]) -> None:
        """Ask `function` at each scrape for the series without labels."""
        self.labels().set_function(function)

    def _line(self, series: GaugeSeries, *, openmetrics: bool) -> str:  # noqa: ARG002 - both formats agree
        return series.text % number(series.value())


class Histogram(Metric[HistogramSeries]):
    """Values counted in buckets."""

    def observe(self, value: float, exemplar: Labels | None = None) -> None:
        """Count `value` in the series without labels."""
        self.labels().observe(value, exemplar)

    def _line(self, series: HistogramSeries, *, openmetrics: bool) -> str:
        counts, total = series.state()
        cumulative = tuple(accumulate(counts))
        text = series.text % (*cumulative, cumulative[-1], number(total))
        exemplars = series.exemplars() if openmetrics else None
        return text if exemplars is None else _with_exemplars(text, exemplars)


AnyMetric = Counter | Gauge | Histogram


def _with_exemplars(text: str, exemplars: Mapping[int, Exemplar]) -> str:
    lines = text.split("\n")
    for bucket, exemplar in exemplars.items():
        lines[bucket] += exemplar_text(exemplar)
    return "\n".join(lines)
