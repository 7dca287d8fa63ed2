"""The families put together: every metric by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from botmetry.metrics.catalogue.conversation import AI, BOT, CONFIRMATIONS, TRANSACTIONS
from botmetry.metrics.catalogue.process import PROCESS, RUNTIME
from botmetry.metrics.catalogue.rows import Rows
from botmetry.metrics.catalogue.stores import DATABASE, REDIS
from botmetry.metrics.catalogue.work import CELERY, QUEUE, SAGA
from botmetry.metrics.spec import MetricSpec

__all__ = ["CATALOGUE", "FAMILIES", "OTHER", "family"]

OTHER = "__other__"
"""The label value into which a metric overflows when it has reached its limit of series."""

_TABLES: tuple[tuple[str, str, Rows], ...] = (
    ("bot", "botmetry", BOT),
    ("ai", "botmetry", AI),
    ("transactions", "botmetry", TRANSACTIONS),
    ("queue", "botmetry", QUEUE),
    ("saga", "botmetry", SAGA),
    ("confirmations", "botmetry", CONFIRMATIONS),
    ("database", "botmetry", DATABASE),
    ("redis", "botmetry", REDIS),
    ("celery", "botmetry", CELERY),
    ("runtime", "botmetry", RUNTIME),
    ("runtime", "prometheus_client", PROCESS),
)


def _specs() -> Iterator[MetricSpec]:
    for family_name, source, rows in _TABLES:
        for name, kind, text, labels, bounds, across in rows:
            yield MetricSpec(name, kind, text, labels, bounds, family_name, source, across)


CATALOGUE: Mapping[str, MetricSpec] = MappingProxyType({spec.name: spec for spec in _specs()})
"""Every metric by the name that queries use, in the order of the families."""

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(name for name, _, _ in _TABLES))
"""The family names, in order."""


def family(name: str) -> tuple[MetricSpec, ...]:
    """Return the metrics of one family, in order.

    Raises:
        KeyError: There is no such family.
    """
    if name not in FAMILIES:
        raise KeyError(name)
    return tuple(spec for spec in CATALOGUE.values() if spec.family == name)
