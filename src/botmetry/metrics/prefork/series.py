"""The hot path of a process that shares its counts: a call changes the number in the file, and nothing else.

Under the interpreter lock a cell is changed without a lock of ours. CPython switches threads, and runs signal handlers
and finalizers, at calls, at the beginning of functions and at jumps backwards; none of these lies between the load and
the store of `self.cells[0] += amount`, as a test reads in the byte code. So nothing is lost under threads, nothing
waits for anything, and what a call has counted outlives `kill -9`.

Where there is no interpreter lock, the `Locked…` classes do the same under a lock of the metric.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from threading import RLock
from time import time
from typing import Final

import orjson

from botmetry.errors import MetricError
from botmetry.metrics.format import valid_unicode
from botmetry.metrics.prefork.definitions import Definition
from botmetry.metrics.prefork.layout import exemplar_bytes
from botmetry.metrics.prefork.ledger import UNBOUND, Ledger
from botmetry.metrics.prefork.reading import Labels as LabelValues
from botmetry.metrics.series import CounterSeries, GaugeSeries, HistogramSeries, Labels, Shared

__all__ = [
    "LOCKED",
    "Home",
    "LockedCounter",
    "LockedGauge",
    "LockedHistogram",
    "SharedCounter",
    "SharedGauge",
    "SharedHistogram",
]

LOCKED: Final = not getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether threads run side by side in this interpreter. Once the interpreter lock is on, it stays on."""


class Home:
    """What the series of one metric have in common here.

    Attributes:
        ledger: Gives them their cells.
        definition: What the metric is.
        lock: Held while a series changes, where there is no interpreter lock.
        differs: Whether the ledger knows of what the metric is a difference.
    """

    __slots__ = ("definition", "differs", "ledger", "lock")

    def __init__(self, ledger: Ledger, definition: Definition) -> None:
        self.ledger = ledger
        self.definition = definition
        self.differs = False
        self.renew()

    def renew(self) -> None:
        """Take a new lock: in a forked child, where nobody would release the old one."""
        self.lock = RLock()


class SharedCounter(CounterSeries):
    """One series of a counter, in this process's file. `value()` is what this process has counted."""

    __slots__ = ("cells", "home", "key", "slots")

    def __init__(self, shared: Shared, text: str, home: Home, key: LabelValues) -> None:
        self.text = text
        self.key = key
        self.home = home
        self.cells = UNBOUND
        self.slots: dict[int, memoryview] = {}
        self._shared = shared
        self._exemplar = None  # it is in the file
        home.ledger.bind(self, home.definition)

    def inc(self, amount: float = 1.0, exemplar: Labels | None = None) -> None:
        """Add `amount`; see `CounterSeries.inc`."""
        if not amount >= 0.0:
            raise MetricError(self._shared.name, f"a counter cannot go down: inc({amount!r})")
        try:
            amount += 0.0  # from here on a plain float, whose addition runs no code of anybody's
            self.cells[0] += amount
        except (ArithmeticError, LookupError, TypeError, ValueError):
            number = next(self._shared.numbers([amount]), None)
            if number is None:
                return
            amount = number
            self.home.ledger.bind(self, self.home.definition)
            self.cells[0] += amount
        if exemplar is not None:
            _store(self, 0, self._shared.exemplar(exemplar, amount).labels, amount)

    def value(self) -> float:
        """Return what this process has counted."""
        return float(self.cells[0]) if len(self.cells) else 0.0


class SharedGauge(GaugeSeries):
    """One series of a gauge, in this process's file. `value()` is what this process has set."""

    __slots__ = ("cells", "home", "key", "slots")

    def __init__(self, shared: Shared, text: str, home: Home, key: LabelValues) -> None:
        self.text = text
        self.key = key
        self.home = home
        self.cells = UNBOUND
        self.slots: dict[int, memoryview] = {}
        self._shared = shared
        self._function: Callable[[], float] | None = None
        home.ledger.bind(self, home.definition)

    def set(self, value: float) -> None:
        """Make `value` the current value."""
        number, now = float(value), time()
        if not len(self.cells):
            self.home.ledger.bind(self, self.home.definition)
        self.cells[0] = number
        self.cells[1] = now

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`, which may be negative."""
        number, now = float(amount), time()
        if not len(self.cells):
            self.home.ledger.bind(self, self.home.definition)
        self.cells[0] += number
        self.cells[1] = now

    def dec(self, amount: float = 1.0) -> None:
        """Subtract `amount`."""
        self.inc(-float(amount))

    def set_to_current_time(self) -> None:
        """Make the Unix time in seconds the current value."""
        self.set(time())

    def set_difference(self, started: CounterSeries, finished: HistogramSeries) -> None:
        """Show what was started and is not finished, in all processes that live."""
        super().set_difference(started, finished)
        if (
            not self.home.differs
            and isinstance(started, SharedCounter)
            and isinstance(finished, SharedHistogram)
        ):
            self.home.differs = True
            minuend, subtrahend = started.home.definition, finished.home.definition
            self.home.ledger.difference(self.home.definition, minuend.spec.name, subtrahend.spec.name)

    def value(self) -> float:
        """Return what this process has set, or what its function returns; NaN when that fails."""
        if self._function is not None:
            return super().value()
        return float(self.cells[0]) if len(self.cells) else 0.0

    def is_asked(self) -> bool:
        """Return whether the value comes from a function."""
        return self._function is not None


class SharedHistogram(HistogramSeries):
    """One series of a histogram, in this process's file. `state()` is what this process has observed."""

    __slots__ = ("cells", "home", "key", "slots")

    def __init__(self, shared: Shared, text: str, home: Home, key: LabelValues) -> None:
        self.text = text
        self.key = key
        self.home = home
        self.cells = UNBOUND
        self.slots: dict[int, memoryview] = {}
        self._shared = shared
        self._exemplars = None  # they are in the file
        home.ledger.bind(self, home.definition)

    def observe(self, value: float, exemplar: Labels | None = None) -> None:
        """Count `value` in its bucket; see `HistogramSeries.observe`."""
        if exemplar is not None:
            self._observe_example(value, self._shared.exemplar(exemplar, value).labels)
            return
        try:
            value += 0.0  # as in a counter
            bucket = bisect_left(self._shared.bounds, value)
            self.cells[-2] += (
                value  # the sum first: a value that is no number fails here, and has changed nothing
            )
            if value == value:  # noqa: PLR0124 - NaN is in no bucket, and makes the sum NaN
                self.cells[bucket] += 1.0
        except (ArithmeticError, LookupError, TypeError, ValueError):
            self._observe_slowly(value)

    def state(self) -> tuple[list[int], float]:
        """Return what this process has observed: the counts of each bucket, +Inf last, and the sum."""
        if not len(self.cells):
            return [0] * (len(self._shared.bounds) + 1), 0.0
        *counts, total, _ = self.cells.tolist()
        return list(map(int, counts)), total

    def count(self) -> int:
        """Return how many values this process has observed."""
        return sum(self.state()[0])

    def _observe_slowly(self, value: float) -> None:
        for number in self._shared.numbers([value]):
            self.home.ledger.bind(self, self.home.definition)
            self.observe(number)

    def _observe_example(self, value: float, labels: Labels) -> None:
        self.observe(value)
        with suppress(Exception):  # which `observe` has reported
            number = float(value)
            if not math.isnan(number):
                _store(self, bisect_left(self._shared.bounds, number), labels, number)


def _store(series: SharedCounter | SharedHistogram, bucket: int, labels: Labels, value: float) -> None:
    """Store an exemplar of now."""
    try:
        text = orjson.dumps(labels)
    except TypeError:  # a lone surrogate, which UTF-8 cannot carry
        text = orjson.dumps({valid_unicode(name): valid_unicode(label) for name, label in labels.items()})
    data = exemplar_bytes(text, value, time())
    size = len(data)
    try:
        series.slots[bucket][:size] = (
            data  # as a cell is changed: nobody can have given the slot away in between
        )
    except (KeyError, ValueError):  # there is none yet, or it is too small
        series.home.ledger.exemplar(series, series.home.definition, bucket, data)


class LockedCounter(SharedCounter):
    """A counter for threads that run side by side."""

    __slots__ = ()

    def inc(self, amount: float = 1.0, exemplar: Labels | None = None) -> None:
        """Add `amount`; see `CounterSeries.inc`."""
        with self.home.lock:
            super().inc(amount, exemplar)


class LockedGauge(SharedGauge):
    """A gauge for threads that run side by side."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """Make `value` the current value."""
        with self.home.lock:
            super().set(value)

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`, which may be negative."""
        with self.home.lock:
            super().inc(amount)


class LockedHistogram(SharedHistogram):
    """A histogram for threads that run side by side."""

    __slots__ = ()

    def observe(self, value: float, exemplar: Labels | None = None) -> None:
        """Count `value` in its bucket; see `HistogramSeries.observe`."""
        with self.home.lock:
            super().observe(value, exemplar)
