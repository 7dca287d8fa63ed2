"""Counters of several processes as one, over restarts: what the live figures are computed from.

The demo reads the same ``/metrics`` as Prometheus does, so that its summary is there without Prometheus, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Ledger", "Reading", "quantile"]

# Sample name -> the labels that are kept; all others are summed over (counters) or maximised over (gauges).
_COUNTERS: Mapping[str, tuple[str, ...]] = {
    "bot_requests_total": (),
    "bot_request_duration_seconds_bucket": ("le",),
    "ai_confidence_ratio_sum": (),
    "ai_confidence_ratio_count": (),
    "ai_confirmations_total": ("mode",),
    "queue_tasks_completed_total": ("outcome",),
}
_GAUGES: Mapping[str, tuple[str, ...]] = {
    "queue_size": ("state",),
    "queue_oldest_task_age_seconds": (),
}
_WANTED = tuple({*_COUNTERS, *_GAUGES})

Key = tuple[str, str]
"""Sample name and the value of the kept label, "" when none is kept."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The figures of all processes at one moment.

    Attributes:
        at: Monotonic time in seconds.
        counters: Totals since the demo began, over all processes and their predecessors.
        gauges: Present values; where several processes tell the same thing, the highest.
    """

    at: float
    counters: Mapping[Key, float]
    gauges: Mapping[Key, float]

    def counter(self, name: str, label: str | None = None) -> float:
        """Return a total, of one label value or of all."""
        return sum(
            value for key, value in self.counters.items() if key[0] == name and label in {None, key[1]}
        )

    def gauge(self, name: str, label: str = "") -> float | None:
        """Return a present value, or None when no process tells it."""
        return self.gauges.get((name, label))

    def buckets_since(self, earlier: "Reading", name: str) -> list[tuple[float, float]]:
        """Return a histogram's (upper bound, cumulative count) pairs of what came after `earlier`, by bound."""
        grown = (
            (float(key[1]), value - earlier.counters.get(key, 0.0))
            for key, value in self.counters.items()
            if key[0] == name
        )
        return sorted(grown)


@dataclass
class Ledger:
    """Adds up counters of processes that come and go.

    A counter that is smaller than before belongs to a process that was started again: what its predecessor had
    counted is kept.
    """

    _last: dict[tuple[str, Key], float] = field(default_factory=dict)
    _totals: dict[Key, float] = field(default_factory=dict)

    def read(self, at: float, expositions: Mapping[str, str]) -> Reading:
        """Take in what each process (by name) has just exposed and return the sums."""
        gauges: dict[Key, float] = {}
        for process, text in expositions.items():
            counters = _parse(text, gauges)
            for key, value in counters.items():
                self._add(process, key, value)
        return Reading(at, dict(self._totals), gauges)

    def _add(self, process: str, key: Key, value: float) -> None:
        before = self._last.get((process, key), 0.0)
        grown = value - before if value >= before else value
        self._last[process, key] = value
        self._totals[key] = self._totals.get(key, 0.0) + grown


def quantile(ratio: float, buckets: Iterable[tuple[float, float]]) -> float | None:
    """Return the value below which `ratio` of the observations lie, as Prometheus' ``histogram_quantile`` does.

    Args:
        ratio: 0.0 to 1.0.
        buckets: (upper bound, cumulative count), by bound, the last one infinite.

    Returns:
        The value, interpolated within its bucket; the highest finite bound when it lies above that; None without
        observations.
    """
    lower, below = 0.0, 0.0
    bounds = list(buckets)
    if not bounds or bounds[-1][1] <= 0:
        return None
    rank = ratio * bounds[-1][1]
    for upper, count in bounds:
        if count >= rank:
            if upper == float("inf"):
                return lower
            share = (rank - below) / (count - below) if count > below else 1.0
            return lower + (upper - lower) * share
        lower, below = upper, count
    return lower


def _parse(text: str, gauges: dict[Key, float]) -> dict[Key, float]:
    """Return one process's counters and fold its gauges into `gauges`.

    Only the wanted lines reach the parser: it would take ten times as long over the whole page.
    """
    wanted = "\n".join(line for line in text.splitlines() if line.startswith(_WANTED))
    counters: dict[Key, float] = {}
    for family in text_string_to_metric_families(f"{wanted}\n"):
        for sample in family.samples:
            if sample.name in _COUNTERS:
                key = _key(sample.name, sample.labels, _COUNTERS)
                counters[key] = counters.get(key, 0.0) + sample.value
            elif sample.name in _GAUGES:
                key = _key(sample.name, sample.labels, _GAUGES)
                gauges[key] = max(gauges.get(key, sample.value), sample.value)
    return counters


def _key(name: str, labels: Mapping[str, str], kept: Mapping[str, tuple[str, ...]]) -> Key:
    return name, "".join(labels.get(label, "") for label in kept[name])
