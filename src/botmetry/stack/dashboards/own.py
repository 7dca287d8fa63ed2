"""Own Metrics: what a project's programs count beside the catalogue, a panel a metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from botmetry.metrics import MetricSpec
from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.panels import Panel, Query, heat, lines
from botmetry.stack.dashboards.query import buckets, level, quantile, rate

__all__ = ["own"]

_UNITS = {"seconds": "s", "bytes": "bytes", "usd": "currencyUSD", "ratio": "percentunit"}
_WIDTH = 12


def own(specs: Sequence[MetricSpec]) -> Iterator[Board]:
    """Yield the dashboard of the metrics in monitoring/metrics.yml; nothing where there are none."""
    if specs:
        panels = (panel for spec in specs for panel in _panels(spec))
        says = "What do the project's own metrics say?"
        yield Board("botmetry-own", "Own Metrics", says, "own").row("Is it fine?", *panels)


def _panels(spec: MetricSpec) -> Iterator[Panel]:
    unit = _UNITS.get(spec.unit, "short")
    legend = " ".join(f"{{{{{label}}}}}" for label in spec.labels) or spec.name
    if spec.kind == "counter":
        # Seconds a second are a share, bytes a second a speed; all else is so many a second.
        speed = {"s": "percentunit", "bytes": "Bps", "short": "ops"}.get(unit, "short")
        query = Query(rate(spec, *spec.labels), legend)
        yield lines(spec.name, f"{spec.help} A second.", speed, query, width=_WIDTH)
    elif spec.kind == "gauge":
        yield lines(spec.name, spec.help, unit, Query(level(spec, *spec.labels), legend), width=_WIDTH)
    else:
        quantiles = (Query(quantile(share, spec), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99))
        yield lines(f"{spec.name}, quantiles", spec.help, unit, *quantiles, width=_WIDTH)
        yield heat(spec.name, spec.help, unit, Query(buckets(spec)), width=_WIDTH)
