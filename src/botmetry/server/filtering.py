"""The exposition of single samples, as `?name[]=` asks for: by sample name, from ours and foreign collectors alike.

prometheus_client's own restricted registry finds only collectors that describe themselves beforehand; the collectors of
the process and of many libraries do not. Looking at what is collected costs a little more and finds everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from botmetry.server.source import SourceRegistry

__all__ = ["render_samples"]


def render_samples(registry: SourceRegistry, names: frozenset[str], *, openmetrics: bool) -> bytes:
    """Return the exposition of the samples called one of `names`."""
    chosen = _Chosen(registry, names)
    if not openmetrics:
        return generate_latest(chosen)
    body: bytes = generate_openmetrics(chosen)  # type: ignore[no-untyped-call]
    return body


class _Chosen:
    """A collector that shows only the samples with the given names."""

    def __init__(self, registry: SourceRegistry, names: frozenset[str]) -> None:
        self._registry = registry
        self._names = names

    def collect(self) -> Iterable[Metric]:
        return list(self._metrics())

    def _metrics(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            samples = [sample for sample in metric.samples if sample.name in self._names]
            if samples:
                shown = Metric(metric.name, metric.documentation, metric.type, metric.unit)
                shown.samples = samples
                yield shown
