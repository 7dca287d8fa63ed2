"""Turns the totals of all processes into the metrics that a scrape shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from botmetry.metrics.format import series_text
from botmetry.metrics.keeping import InMemory, Options
from botmetry.metrics.metric import AnyMetric, Counter, Gauge
from botmetry.metrics.prefork.definitions import Definition
from botmetry.metrics.prefork.reading import Labels
from botmetry.metrics.prefork.series import SharedGauge
from botmetry.metrics.prefork.totals import Cells, Totals, counter_total, gauge_value, histogram_state
from botmetry.metrics.series import CounterSeries, GaugeSeries, HistogramSeries, Shared

__all__ = ["Known", "View"]


class Known(NamedTuple):
    """A metric that this process knows.

    Attributes:
        metric: The metric.
        definition: What the files of other processes call it.
    """

    metric: AnyMetric
    definition: Definition


class View:
    """Makes metrics of totals. It keeps the text of each series from one scrape to the next."""

    def __init__(self) -> None:
        self._shared: dict[Definition, Shared] = {}
        self._texts: dict[Definition, dict[Labels, str]] = {}

    def all_known(self, totals: Totals, declared: Iterable[Known]) -> list[Known]:
        """Return what this process declared, in order, then what only other processes did.

        Where processes disagree on what a name means, this process is right, or else the one that was read first.
        """
        known = {one.definition.spec.name: one for one in declared}
        for definition in totals.rows:
            if definition.exposed and definition.spec.name not in known:
                known[definition.spec.name] = Known(_declared_elsewhere(definition), definition)
        return list(known.values())

    def labels(self, totals: Totals, known: Known) -> set[Labels]:
        """Return the label values of a metric's series."""
        found = set(totals.rows.get(known.definition, ()))
        difference = totals.differences.get(known.definition)
        if difference is not None:
            found.update(totals.of_difference(difference))
        if known.definition.spec.kind == "info":
            found.update(labels for labels, _ in known.metric.series())
        return found.union(labels for labels, _ in _asked(known.metric))

    def filled(self, totals: Totals, known: Known) -> AnyMetric:
        """Return a metric with the series of all processes."""
        metric, definition = known
        rows = totals.rows.get(definition, {})
        if isinstance(metric, Gauge):
            values = self._values(totals, known, metric, rows)
            texts = self._texts_of(known, values)
            shared = self._shared_of(definition)
            return metric.with_series(
                {labels: GaugeSeries(shared, texts[labels], value) for labels, value in values.items()}
            )
        texts, shared = self._texts_of(known, rows), self._shared_of(definition)
        if isinstance(metric, Counter):
            return metric.with_series(
                {
                    labels: CounterSeries(
                        shared,
                        texts[labels],
                        counter_total(contributions),
                        totals.exemplars.get((definition, labels), {}).get(0),
                    )
                    for labels, contributions in rows.items()
                }
            )
        return metric.with_series(
            {
                labels: HistogramSeries(
                    shared,
                    texts[labels],
                    *histogram_state(contributions),
                    totals.exemplars.get((definition, labels)),
                )
                for labels, contributions in rows.items()
            }
        )

    def _values(
        self, totals: Totals, known: Known, metric: Gauge, rows: Mapping[Labels, list[Cells]]
    ) -> dict[Labels, float]:
        spec = known.definition.spec
        if (
            spec.kind == "info"
        ):  # which is 1, also when the process that said so has ended and its child lives on
            return dict.fromkeys(self.labels(totals, known), 1.0)
        if metric.answer is not None:
            return {labels: metric.answered(labels) for labels in self.labels(totals, known)}
        values = {labels: gauge_value(spec.across, contributions) for labels, contributions in rows.items()}
        difference = totals.differences.get(known.definition)
        if difference is not None:
            return values | totals.of_difference(difference)
        # Of the functions of other processes nothing is known here.
        return values | {labels: series.value() for labels, series in _asked(metric)}

    def _texts_of(self, known: Known, rows: Mapping[Labels, object]) -> dict[Labels, str]:
        own = {labels: series.text for labels, series in known.metric.series()}
        kept = self._texts.get(known.definition, {})
        texts = {
            labels: own.get(labels) or kept.get(labels) or series_text(known.metric.spec, labels)
            for labels in rows
        }
        self._texts[known.definition] = {labels: text for labels, text in texts.items() if labels not in own}
        return texts

    def _shared_of(self, definition: Definition) -> Shared:
        shared = self._shared.get(definition)
        if shared is None:
            spec = definition.spec
            shared = self._shared[definition] = Shared(spec.name, spec.buckets, _nothing_fails)
        return shared


def _asked(metric: AnyMetric) -> list[tuple[Labels, SharedGauge]]:
    return [
        (labels, series)
        for labels, series in (metric.series() if isinstance(metric, Gauge) else ())
        if isinstance(series, SharedGauge) and series.is_asked()
    ]


def _declared_elsewhere(definition: Definition) -> AnyMetric:
    spec, options = definition.spec, Options(None, _nothing_fails, _nothing_overflows)
    if spec.kind == "counter":
        return InMemory().counter(spec, options)
    if spec.kind == "histogram":
        return InMemory().histogram(spec, options)
    return InMemory().gauge(spec, options)


def _nothing_fails(name: str, error: BaseException) -> None:
    """Expect no failure: these series are never counted in."""


def _nothing_overflows(name: str) -> None:
    """Expect no overflow: these metrics have no limit."""
