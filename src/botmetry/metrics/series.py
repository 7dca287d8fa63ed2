"""The hot path: one series of a counter, gauge or histogram.

A call appends to a list and returns; the list is folded into totals every `FOLD_AT` calls and at each
scrape. Appending is one atomic step of the interpreter, with or without the GIL, so no call takes a lock,
none is lost, and a signal handler or a finalizer that counts in the middle of a fold cannot deadlock. A fold
copies the list and deletes the copied part from its front: what is appended in between stays.

Every series carries `text`, its name and labels as the exposition writes them, with a `%` place for each value.

The shape was chosen by measuring (`make bench`): a lock costs about as much as all of `Counter.inc` does here.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Lock
from time import time
from typing import Final, NamedTuple, TypeAlias

from botmetry.errors import MetricError

__all__ = ["FOLD_AT", "CounterSeries", "Exemplar", "GaugeSeries", "HistogramSeries", "Labels", "Shared"]

FOLD_AT: Final = 128
"""Calls between two folds: the fixed cost of a fold is spread thin, and a waiting list stays near 1 KiB."""

Labels: TypeAlias = Mapping[str, str]

_EXEMPLAR_RUNES: Final = 128  # OpenMetrics 1.0, section "Exemplars": label names and values together


class Exemplar(NamedTuple):
    """One observation that stands for a bucket or counter: labels, value, Unix time in seconds."""

    labels: Labels
    value: float
    timestamp: float


class Shared:
    """What all series of one metric have in common.

    Attributes:
        name: The metric's name, for errors.
        bounds: Upper bounds of a histogram's buckets, without +Inf.
        lock: Held while a series is folded.
        failed: Called with what was wrong when a stored value turns out to be no number.
    """

    __slots__ = ("bounds", "failed", "lock", "name")

    def __init__(
        self, name: str, bounds: tuple[float, ...], failed: Callable[[str, BaseException], None]
    ) -> None:
        self.name = name
        self.bounds = bounds
        self.failed = failed
        self.lock = Lock()

    def numbers(self, batch: Iterable[object]) -> Iterator[float]:
        """Yield what is a number, and report what turns out to be none."""
        for value in batch:
            try:
                yield float(value)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - foreign code: a number of any class may raise anything
                self.failed(self.name, error)

    def exemplar(self, labels: Labels, value: float) -> Exemplar:
        """Build an exemplar of now.

        Raises:
            MetricError: Its labels are longer than OpenMetrics allows.
        """
        if sum(len(key) + len(text) for key, text in labels.items()) > _EXEMPLAR_RUNES:
            raise MetricError(self.name, f"an exemplar's labels may have {_EXEMPLAR_RUNES} characters")
        return Exemplar(dict(labels), value, time())


class CounterSeries:
    """One series of a counter."""

    __slots__ = ("_exemplar", "_pending", "_shared", "_total", "text")

    def __init__(
        self, shared: Shared, text: str, total: float = 0.0, exemplar: Exemplar | None = None
    ) -> None:
        self.text = text
        self._shared = shared
        self._pending: list[float] = []
        self._total = total
        self._exemplar: Exemplar | None = exemplar

    def inc(self, amount: float = 1.0, exemplar: Labels | None = None) -> None:
        """Add `amount`.

        Raises:
            MetricError: `amount` is negative or NaN.
        """
        if not amount >= 0.0:
            raise MetricError(self._shared.name, f"a counter cannot go down: inc({amount!r})")
        pending = self._pending
        pending.append(amount)
        if len(pending) >= FOLD_AT:
            self._fold(wait=False)
        if exemplar is not None:
            self._exemplar = self._shared.exemplar(exemplar, amount)

    def value(self) -> float:
        """Return the total so far."""
        self._fold(wait=True)
        return self._total

    def exemplar(self) -> Exemplar | None:
        """Return the latest exemplar."""
        return self._exemplar

    def _fold(self, *, wait: bool) -> None:
        pending = self._pending
        if pending and self._shared.lock.acquire(blocking=wait):
            try:
                batch = pending[:]
                del pending[: len(batch)]
                try:
                    self._total += sum(map(float, batch))
                except Exception:  # noqa: BLE001 - one of them turns out to be no number
                    self._total += sum(self._shared.numbers(batch))
            finally:
                self._shared.lock.release()


class GaugeSeries:
    """One series of a gauge. `set`, `inc` and `dec` take effect in the order of the calls."""

    __slots__ = ("_function", "_pending", "_shared", "_value", "text")

    def __init__(self, shared: Shared, text: str, value: float = 0.0) -> None:
        self.text = text
        self._shared = shared
        self._pending: list[float | tuple[float]] = []
        self._value = value
        self._function: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        """Make `value` the current value."""
        self._append((float(value),))

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`, which may be negative."""
        self._append(float(amount))

    def dec(self, amount: float = 1.0) -> None:
        """Subtract `amount`."""
        self._append(-float(amount))

    def set_to_current_time(self) -> None:
        """Make the Unix time in seconds the current value."""
        self._append((time(),))

    def set_function(self, function: Callable[[], float]) -> None:
        """Ask `function` for the value at each scrape from now on."""
        self._function = function

    def set_difference(self, started: CounterSeries, finished: HistogramSeries) -> None:
        """Show at each scrape what was started and is not finished."""
        self.set_function(lambda: started.value() - finished.count())

    def value(self) -> float:
        """Return the current value; NaN when the function that gives it fails."""
        if self._function is None:
            self._fold(wait=True)
            return self._value
        try:
            return float(self._function())
        except Exception as error:  # noqa: BLE001 - a scrape must go on whatever a user's function raises
            self._shared.failed(self._shared.name, error)
            return math.nan

    def _append(self, step: float | tuple[float]) -> None:
        pending = self._pending
        pending.append(step)
        if len(pending) >= FOLD_AT:
            self._fold(wait=False)

    def _fold(self, *, wait: bool) -> None:
        pending = self._pending
        if pending and self._shared.lock.acquire(blocking=wait):
            try:
                batch = pending[:]
                del pending[: len(batch)]
                value = self._value
                for step in batch:
                    value = step[0] if isinstance(step, tuple) else value + step
                self._value = value
            finally:
                self._shared.lock.release()


class HistogramSeries:
    """One series of a histogram."""

    __slots__ = ("_counts", "_exemplars", "_pending", "_shared", "_sum", "text")

    def __init__(
        self,
        shared: Shared,
        text: str,
        counts: list[int] | None = None,
        total: float = 0.0,
        exemplars: dict[int, Exemplar] | None = None,
    ) -> None:
        self.text = text
        self._shared = shared
        self._pending: list[float | Exemplar] = []
        self._counts = counts or [0] * (len(shared.bounds) + 1)
        self._sum = total
        self._exemplars: dict[int, Exemplar] | None = exemplars

    def observe(self, value: float, exemplar: Labels | None = None) -> None:
        """Count `value` in its bucket, and keep `exemplar` (such as a trace id) as the bucket's example."""
        pending = self._pending
        pending.append(value if exemplar is None else self._shared.exemplar(exemplar, value))
        if len(pending) >= FOLD_AT:
            self._fold(wait=False)

    def state(self) -> tuple[list[int], float]:
        """Return the counts of each bucket (not cumulative, +Inf last) and the sum of all values."""
        self._fold(wait=True)
        with self._shared.lock:
            return self._counts[:], self._sum

    def count(self) -> int:
        """Return the number of values."""
        self._fold(wait=True)
        return sum(self._counts)

    def exemplars(self) -> Mapping[int, Exemplar] | None:
        """Return the latest exemplar of each bucket, by its index."""
        return self._exemplars

    def _fold(self, *, wait: bool) -> None:
        pending = self._pending
        if pending and self._shared.lock.acquire(blocking=wait):
            try:
                batch = pending[:]
                del pending[: len(batch)]
                self._take(batch)
            finally:
                self._shared.lock.release()

    def _take(self, batch: list[float | Exemplar]) -> None:
        try:
            batch.sort()  # an Exemplar raises TypeError, which is the test
            total = float(sum(batch))  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 - a number of another class may raise what it likes: Decimal("NaN") does
            total = math.nan
        if total - total == 0.0:  # finite: every value is a number with a bucket
            self._take_sorted(batch)  # type: ignore[arg-type]
            self._sum += total
        else:
            for value in batch:
                self._take_one(value)

    def _take_sorted(self, batch: list[float]) -> None:
        """Count finite values by looking up the bounds among them: there are more values than bounds."""
        bounds, counts = self._shared.bounds, self._counts
        counted, bucket = 0, bisect_left(bounds, batch[0])
        while bucket < len(bounds):
            upto = bisect_right(batch, bounds[bucket], counted)
            counts[bucket] += upto - counted
            if upto == len(batch):
                return
            counted = upto
            bucket += 1
        counts[bucket] += len(batch) - counted

    def _take_one(self, value: float | Exemplar) -> None:
        kept = value if isinstance(value, Exemplar) else None
        number = next(self._shared.numbers([value.value if isinstance(value, Exemplar) else value]), None)
        if number is None:
            return
        self._sum += number
        if math.isnan(number):  # NaN is in no bucket, and makes the sum NaN: as prometheus_client has it
            return
        bucket = bisect_left(self._shared.bounds, number)
        self._counts[bucket] += 1
        if kept is not None:
            self._exemplars = {**(self._exemplars or {}), bucket: kept}
