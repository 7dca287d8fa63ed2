"""Every series that a query may name: the catalogue's, those that recording rules make, and a list of other programs'.

A name that is in none of the three does not exist, and an alert over it would never fire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from botmetry.metrics import CATALOGUE, MetricSpec

__all__ = [
    "EXTERNAL",
    "TARGET_LABELS",
    "Series",
    "catalogue_series",
    "external_series",
    "metric_series",
    "recorded",
]

TARGET_LABELS = frozenset({"job", "instance", "service"})
"""What Prometheus adds to every sample of a target, see monitoring/prometheus.yml."""


@dataclass(frozen=True, slots=True)
class Series:
    """One sample name.

    Attributes:
        name: As queries write it; a histogram has three.
        kind: counter, gauge, or bucket (a counter whose `le` must be kept).
        labels: Every label a sample may have, those of the target included.
        bounds: Upper bounds of a bucket series, in ascending order.
        metric: The metric it belongs to.
    """

    name: str
    kind: str
    labels: frozenset[str]
    bounds: tuple[float, ...] = ()
    metric: str = ""


EXTERNAL: tuple[MetricSpec, ...] = (
    # Prometheus itself: about every target, about alerts, about its own work.
    MetricSpec("up", "gauge", "1 when the last scrape of the target worked."),
    MetricSpec("scrape_duration_seconds", "gauge", "Time the last scrape took."),
    MetricSpec("scrape_samples_scraped", "gauge", "Samples the target exposed."),
    MetricSpec(
        "ALERTS",
        "gauge",
        "1 while an alert is pending or firing.",
        (
            *("alertname", "alertstate", "severity", "component"),
            *("task", "queue", "operation", "table", "metric", "integration", "slo"),
        ),
    ),
    MetricSpec(
        "prometheus_rule_evaluation_failures_total",
        "counter",
        "Rules that could not be evaluated.",
        ("rule_group",),
    ),
    MetricSpec("prometheus_tsdb_head_series", "gauge", "Series in memory."),
    MetricSpec("prometheus_tsdb_head_samples_appended_total", "counter", "Samples stored.", ("type",)),
    # Alertmanager. `reason` came with 0.27.
    MetricSpec(
        "alertmanager_notifications_total",
        "counter",
        "Notifications attempted.",
        ("integration", "receiver_name"),
    ),
    MetricSpec(
        "alertmanager_notifications_failed_total",
        "counter",
        "Notifications that failed.",
        ("integration", "receiver_name", "reason"),
    ),
)
"""Series of other programs that rules and dashboards may use; a new one is added here, with its labels."""


def catalogue_series() -> dict[str, Series]:
    """Return the sample names of the catalogue and of the other programs, by name."""
    return metric_series((*CATALOGUE.values(), *EXTERNAL))


def metric_series(specs: Iterable[MetricSpec]) -> dict[str, Series]:
    """Return the sample names of some metrics, by name."""
    return {series.name: series for spec in specs for series in _samples(spec)}


def external_series(series: Mapping[str, Series]) -> set[str]:
    """Return the names in `series` that are not the catalogue's."""
    return {name for name, sample in series.items() if sample.metric not in CATALOGUE}


def recorded(name: str, labels: Iterable[str]) -> Series:
    """Return the series that a recording rule makes."""
    return Series(name, "gauge", frozenset(labels), metric=name)


def _samples(spec: MetricSpec) -> Iterator[Series]:
    labels = frozenset(spec.labels) | TARGET_LABELS
    if spec.kind == "histogram":
        yield Series(f"{spec.name}_bucket", "bucket", labels | {"le"}, spec.buckets, spec.name)
        yield Series(f"{spec.name}_sum", "counter", labels, metric=spec.name)
        yield Series(f"{spec.name}_count", "counter", labels, metric=spec.name)
    else:
        yield Series(spec.name, "counter" if spec.kind == "counter" else "gauge", labels, metric=spec.name)
