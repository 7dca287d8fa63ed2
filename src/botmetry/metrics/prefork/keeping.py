"""Keeps the numbers of a registry in a folder that several processes share."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from weakref import finalize

from botmetry.errors import SettingsError
from botmetry.metrics.forks import at_end_of_multiprocessing, in_children
from botmetry.metrics.keeping import Options
from botmetry.metrics.metric import AnyMetric, Counter, Gauge, Histogram
from botmetry.metrics.prefork.census import DAY_SECONDS, Census
from botmetry.metrics.prefork.definitions import Definition, describe
from botmetry.metrics.prefork.ledger import Bound, Ledger
from botmetry.metrics.prefork.marks import Marks, Users, united
from botmetry.metrics.prefork.processes import ProcessCollector, Seen, look_at
from botmetry.metrics.prefork.reading import Labels
from botmetry.metrics.prefork.series import (
    LOCKED,
    Home,
    LockedCounter,
    LockedGauge,
    LockedHistogram,
    SharedCounter,
    SharedGauge,
    SharedHistogram,
)
from botmetry.metrics.prefork.shelter import find_folder, leave
from botmetry.metrics.prefork.survey import Survey
from botmetry.metrics.prefork.view import Known, View
from botmetry.metrics.series import Shared
from botmetry.metrics.spec import MetricSpec

__all__ = ["InFolder"]

_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)

_CounterSeries = LockedCounter if LOCKED else SharedCounter
_GaugeSeries = LockedGauge if LOCKED else SharedGauge
_HistogramSeries = LockedHistogram if LOCKED else SharedHistogram


class InFolder:
    """Keeps the numbers of this process in a file, and shows those of all processes that have one in the folder."""

    def __init__(
        self,
        given: bool | str,  # noqa: FBT001 - it is the user's word, as given
        failed: Callable[[BaseException], None],
        service: str = "",
    ) -> None:
        """Begin to share.

        Args:
            given: The folder, or True for one of our own that forked processes share.
            failed: Called with what goes wrong later, such as a full disk.
            service: Whose processes share it; when left out, nobody looks.

        Raises:
            SettingsError: The folder is missing, cannot be used, or is another service's.
        """
        self._folder = find_folder(given)
        try:
            self._ledger = Ledger(self._folder, failed)
            self._key = self._folder.key()
            owner = self._folder.service(service) if service else service
        except OSError as error:
            raise SettingsError(
                "prefork", str(self._folder.path), f"a folder that this process can write to ({error})"
            ) from error
        if owner != service:  # each would show the sum of both
            expected = f"a folder for {service!r} alone, and this one has the counts of {owner!r}"
            raise SettingsError("prefork", str(self._folder.path), expected)
        self._census = Census(self._folder, self._ledger, failed)
        self._view = View()
        self._homes: list[Home] = []
        self._known: dict[str, Known] = {}
        self._sizes: dict[str, int] = {}
        self._survey: Survey | None = None
        self._ledger.when_open(self._census.merge_many)
        in_children(self._renew)
        at_end_of_multiprocessing(finalize(self, leave, self._folder, self._ledger.own))

    def counter(self, spec: MetricSpec, options: Options) -> Counter:
        """Make a counter."""
        return self._made(Counter, _CounterSeries, spec, options)

    def gauge(self, spec: MetricSpec, options: Options) -> Gauge:
        """Make a gauge or an info metric."""
        return self._made(Gauge, _GaugeSeries, spec, options)

    def histogram(self, spec: MetricSpec, options: Options) -> Histogram:
        """Make a histogram."""
        return self._made(Histogram, _HistogramSeries, spec, options)

    def view(self, declared: list[AnyMetric]) -> list[AnyMetric]:
        """Return the metrics of all processes: first those declared here, then those that only others know."""
        self._survey = survey = self._census.take()
        totals = survey.totals()
        known = self._view.all_known(totals, (self._known[metric.spec.name] for metric in declared))
        # Sizes first: some gauges tell them.
        self._sizes = {one.metric.spec.name: len(self._view.labels(totals, one)) for one in known}
        return [self._view.filled(totals, one) for one in known]

    def size(self, metric: AnyMetric) -> int:
        """Return how many series a metric had in all processes at the last scrape here."""
        return self._sizes.get(metric.spec.name, len(metric))

    def users(self) -> Users:
        """Return the users that all processes have seen."""
        return Users(self._key, self._ledger, self._marks)

    def process_collector(self) -> ProcessCollector:
        """Return a collector of `process_*` over all processes that live."""
        return ProcessCollector(self._look)

    def _made(
        self,
        kind: Callable[..., _Metric],
        series: Callable[[Shared, str, Home, Labels], object],
        spec: MetricSpec,
        options: Options,
    ) -> _Metric:
        home = Home(self._ledger, Definition(spec, exposed=options.exposed, limit=options.limit))
        self._homes.append(home)
        made = kind(
            spec,
            lambda shared, text, key: series(shared, text, home, key),
            limit=options.limit,
            failed=options.failed,
            overflowed=options.overflowed,
            forget=partial(self._forget, home),
        )
        if home.definition.exposed:
            self._known[spec.name] = Known(made, self._census.definition(describe(home.definition)))
        return made

    def _forget(self, home: Home, labels: Labels | None, series: list[Bound]) -> None:
        self._ledger.give_back(series, home.definition)
        self._census.forget(home.definition.spec.name, labels)

    def _marks(self) -> Marks:
        survey = self._survey or self._census.take()
        return united(survey.marks(), since=time.time() - DAY_SECONDS, capacity=sys.maxsize)

    def _look(self) -> tuple[list[Seen], float]:
        survey = self._survey or self._census.take()
        found: list[Seen] = []
        cpu_seconds = sum(part.header.cpu_seconds for part in survey.past())
        # A process with two telemetry objects has two files.
        for part in {part.header.pid: part for part in survey.living}.values():
            seen = look_at(part.header)
            if seen is not None:
                found.append(seen)
                self._folder.note_cpu(part.name, seen.cpu_seconds)
            cpu_seconds += max(part.header.cpu_seconds, 0.0 if seen is None else seen.cpu_seconds)
        return found, cpu_seconds

    def _renew(self) -> None:
        self._survey = None
        for home in self._homes:
            home.renew()
