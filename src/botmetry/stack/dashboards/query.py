"""PromQL built from catalogue objects: a metric, what to keep, what to choose.

A query cannot name a metric or a label that does not exist, nor take a rate of a gauge: building it fails. Every
selector follows the dashboard's variables, so that one dashboard serves every service.
"""

from __future__ import annotations

from botmetry.errors import StackError
from botmetry.metrics import CATALOGUE, MetricSpec
from botmetry.stack.series import EXTERNAL, TARGET_LABELS, Series

__all__ = [
    "Metrics",
    "appeared",
    "buckets",
    "count_rate",
    "level",
    "m",
    "mean",
    "quantile",
    "rate",
    "ratio",
    "recorded",
    "series_of",
    "total",
]

_WINDOW = "[$__rate_interval]"
_VARIABLES = "".join(f'{name}=~"${name}",' for name in ("job", "instance", "service"))


class Metrics:
    """Catalogue metrics, and other programs' series, as attributes: `m.bot_requests_total`."""

    def __init__(self) -> None:
        self._known = {**CATALOGUE, **{spec.name: spec for spec in EXTERNAL}}

    def __getattr__(self, name: str) -> MetricSpec:
        spec = self._known.get(name)
        if spec is None:
            raise StackError(f"a dashboard shows {name}, which is not in the catalogue")
        return spec


m = Metrics()
"""Every metric that a dashboard may show."""


def rate(counter: MetricSpec, *by: str, **where: str) -> str:
    """Return how fast `counter` grows, per second, added up over everything but `by`."""
    _expect(counter, "counter")
    return _sum(by, f"rate({_select(counter, '', by, where)}{_WINDOW})")


def count_rate(histogram: MetricSpec, *by: str, **where: str) -> str:
    """Return how many observations a second `histogram` gets."""
    _expect(histogram, "histogram")
    return _sum(by, f"rate({_select(histogram, '_count', by, where)}{_WINDOW})")


def total(histogram: MetricSpec, *by: str, **where: str) -> str:
    """Return how fast the sum of `histogram` grows, per second."""
    _expect(histogram, "histogram")
    return _sum(by, f"rate({_select(histogram, '_sum', by, where)}{_WINDOW})")


def ratio(part: str, whole: str) -> str:
    """Return `part` of `whole`: 0 when the part has never been seen, nothing when there is no whole."""
    return f"({part} or {whole} * 0) / ({whole} > 0)"


def mean(histogram: MetricSpec, *by: str, **where: str) -> str:
    """Return the mean observation."""
    return f"{total(histogram, *by, **where)} / ({count_rate(histogram, *by, **where)} > 0)"


def quantile(share: float, histogram: MetricSpec, *by: str, **where: str) -> str:
    """Return the value below which `share` (0 to 1) of the observations lie."""
    _expect(histogram, "histogram")
    selected = _select(histogram, "_bucket", by, where)
    return f"histogram_quantile({share:g}, {_sum((*by, 'le'), f'rate({selected}{_WINDOW})')})"


def buckets(histogram: MetricSpec, **where: str) -> str:
    """Return the observations a bucket, for a heatmap."""
    _expect(histogram, "histogram")
    return f"sum by (le) (increase({_select(histogram, '_bucket', (), where)}{_WINDOW}))"


def level(gauge: MetricSpec, *by: str, over: str = "", **where: str) -> str:
    """Return a gauge, aggregated as the catalogue says its processes' values become one, or with `over`."""
    _expect(gauge, "gauge", "info")
    # What every process reads from a shared store is the same everywhere: the largest is as good as the latest.
    across = "sum" if gauge.across == "sum" else "max"
    return _aggregate(over or across, by, _select(gauge, "", by, where))


def recorded(series: Series, *by: str) -> str:
    """Return a recorded series of the chosen services."""
    _check(series.name, series.labels, by)
    return _aggregate("max", by, f'{series.name}{{service=~"$service"}}')


def appeared(info: MetricSpec, *by: str) -> str:
    """Return what is there now and was not five minutes ago: a version that was deployed."""
    _expect(info, "gauge", "info")
    now = _select(info, "", by, {})
    return f"{_aggregate('count', by, now)} unless {_aggregate('count', by, f'{now} offset 5m')}"


def series_of(spec: MetricSpec, **where: str) -> str:
    """Return every series of a gauge, for a table."""
    _expect(spec, "gauge", "info")
    return _select(spec, "", (), where)


def _expect(spec: MetricSpec, *kinds: str) -> None:
    if spec.kind not in kinds:
        raise StackError(f"{spec.name} is a {spec.kind}, the query is for a {' or '.join(kinds)}")


def _check(name: str, labels: frozenset[str], used: tuple[str, ...]) -> None:
    for label in used:
        if label not in labels:
            raise StackError(f"{name} has no label {label}; it has {', '.join(sorted(labels))}")


def _select(spec: MetricSpec, suffix: str, by: tuple[str, ...], where: dict[str, str]) -> str:
    _check(spec.name, TARGET_LABELS | frozenset(spec.labels), (*by, *where))
    chosen = "".join(f'{label}{_operator(value)}"{value}",' for label, value in where.items())
    # Alerts carry the labels of rules, not always those of a target.
    variables = 'service=~"$service",' if spec.name == "ALERTS" else _VARIABLES
    return f"{spec.name}{suffix}{{{(variables + chosen).rstrip(',')}}}"


def _operator(value: str) -> str:
    return "=~" if any(sign in value for sign in "|$*+") else "="


def _sum(by: tuple[str, ...], inner: str) -> str:
    return _aggregate("sum", by, inner)


def _aggregate(operator: str, by: tuple[str, ...], inner: str) -> str:
    return f"{operator} by ({', '.join(by)}) ({inner})" if by else f"{operator}({inner})"
