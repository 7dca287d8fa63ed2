"""What processes tell each other about a metric: enough to show one that this process has never declared."""

from __future__ import annotations

import orjson

from botmetry.metrics.spec import MetricSpec

__all__ = ["Definition", "Definitions", "describe"]


class Definition:
    """A metric as files describe it. Equal descriptions are one object, so that it is a cheap key.

    Attributes:
        spec: What the metric is.
        exposed: False for one half of a difference.
        limit: Series that a process lets it have; None for no limit.
        cells: Cells of one series. Counter: total, and what rounding took from it. Histogram: the count of each bucket,
            then the sum likewise. Gauge: value, and the Unix time of the last change.
    """

    __slots__ = ("cells", "exposed", "limit", "spec")

    def __init__(self, spec: MetricSpec, *, exposed: bool, limit: int | None) -> None:
        self.spec = spec
        self.exposed = exposed
        self.limit = limit
        self.cells = len(spec.buckets) + 3 if spec.kind == "histogram" else 2


def describe(definition: Definition) -> bytes:
    """Return the body of the record that describes a metric."""
    spec = definition.spec
    bounds = list(map(repr, spec.buckets))  # JSON has no infinity
    return orjson.dumps(
        [
            [spec.name, spec.kind, spec.help, spec.labels, bounds, spec.family, spec.source, spec.across],
            definition.exposed,
            definition.limit,
        ]
    )


class Definitions:
    """The definitions that were met so far."""

    def __init__(self) -> None:
        self._by_body: dict[bytes, Definition] = {}
        self._by_meaning: dict[tuple[object, ...], Definition] = {}

    def of(self, body: bytes) -> Definition:
        """Return the definition of a record's body.

        Raises:
            ValueError: The body describes no metric.
        """
        known = self._by_body.get(body)
        if known is None:
            known = self._by_body[body] = self._intern(_understand(body))
        return known

    def _intern(self, definition: Definition) -> Definition:
        spec = definition.spec
        meaning = (spec.name, spec.kind, spec.labels, spec.buckets, spec.across, definition.exposed)
        return self._by_meaning.setdefault(meaning, definition)


def _understand(body: bytes) -> Definition:
    try:
        fields, exposed, limit = orjson.loads(body)
        name, kind, text, labels, buckets, family, source, across = fields
        spec = MetricSpec(
            name, kind, text, tuple(labels), tuple(map(float, buckets)), family, source, across=across
        )
    except (TypeError, AttributeError) as error:
        raise ValueError(f"a metric's description cannot be understood: {error}") from error
    return Definition(spec, exposed=bool(exposed), limit=limit)
