"""The metrics of a project's own programs, declared in `monitoring/metrics.yml` because no catalogue can know them.

Rules may then name them, checked like all others, and the dashboard Own Metrics shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from botmetry.errors import MetricError, StackError
from botmetry.metrics import CATALOGUE, MetricSpec
from botmetry.stack.files import StackFiles
from botmetry.telemetry.own_metrics import DEFAULT_BUCKETS

__all__ = ["read_own_metrics"]

_KEYS = frozenset({"name", "type", "help", "labels", "buckets"})
_KINDS = ("counter", "gauge", "histogram")


def read_own_metrics(files: StackFiles) -> tuple[MetricSpec, ...]:
    """Return the metrics that a project declares; none where it has no such file.

    Raises:
        StackError: The file cannot be read, or a declaration cannot be a metric; the message names it.
    """
    path = files.monitoring / "metrics.yml"
    if not path.is_file():
        return ()
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        entries = (document or {}).get("metrics") or []
        return tuple(_specs(entries))
    except (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise StackError(f"{path}: {error}") from error


def _specs(entries: list[dict[str, Any]]) -> Iterator[MetricSpec]:
    names: set[str] = set()
    for entry in entries:
        spec = _spec(entry)
        if spec.name in CATALOGUE or spec.name in names:
            raise MetricError(spec.name, "is declared already")
        names.add(spec.name)
        yield spec


def _spec(entry: dict[str, Any]) -> MetricSpec:
    name, kind = str(entry.get("name", "")), entry.get("type")
    unknown = ", ".join(sorted(entry.keys() - _KEYS))
    if unknown:
        raise MetricError(name, f"has {unknown}; a declaration has {', '.join(sorted(_KEYS))}")
    if kind not in _KINDS:
        raise MetricError(name, f"is a {kind}; its type is one of {', '.join(_KINDS)}")
    buckets = tuple(float(bound) for bound in entry.get("buckets") or ())
    return MetricSpec(
        name,
        kind,
        str(entry.get("help") or f"{name}, as its program describes it."),
        tuple(str(label) for label in entry.get("labels") or ()),
        (buckets or DEFAULT_BUCKETS) if kind == "histogram" else (),
    )
