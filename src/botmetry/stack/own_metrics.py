"""The metrics of a project's own programs, declared in `monitoring/metrics.yml` because no catalogue can know them.

Rules may then name them, checked like all others, and the dashboard Own Metrics shows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from botmetry.errors import MetricError, StackError
from botmetry.metrics import CATALOGUE, MetricSpec
from botmetry.metrics.spec import Kind
from botmetry.stack.files import StackFiles
from botmetry.stack.located import Located, read_located
from botmetry.telemetry.own_metrics import DEFAULT_BUCKETS

__all__ = ["read_own_metrics"]

_KEYS = frozenset({"name", "type", "help", "labels", "buckets"})
_KINDS: Mapping[str, Kind] = {"counter": "counter", "gauge": "gauge", "histogram": "histogram"}


def read_own_metrics(files: StackFiles) -> tuple[MetricSpec, ...]:
    """Return the metrics that a project declares; none where it has no such file.

    Raises:
        StackError: The file cannot be read, or a declaration cannot be a metric; the message has its line.
    """
    path = files.monitoring / "metrics.yml"
    return tuple(_specs(read_located(path))) if path.is_file() else ()


def _specs(document: Located) -> Iterator[MetricSpec]:
    names: set[str] = set()
    listed = document.get("metrics") if isinstance(document.value, Mapping) else document
    # Empty where the examples were deleted and nothing took their place.
    if listed is None or listed.value == "":
        return
    if listed is document or not isinstance(listed.value, list):
        raise StackError(f"{listed.path}:{listed.line}: is not a list of declarations, as in metrics: []")
    for entry in listed.each():
        try:
            spec = _spec(entry)
            if spec.name in CATALOGUE or spec.name in names:
                raise MetricError(spec.name, "is declared already")
        except ValueError as error:
            raise StackError(f"{entry.path}:{entry.line}: {error}") from error
        names.add(spec.name)
        yield spec


def _spec(entry: Located) -> MetricSpec:
    if not isinstance(entry.value, Mapping):
        raise MetricError(entry.text, "stands there alone; a declaration begins with `name:`")
    name, kind = _text(entry, "name"), _text(entry, "type")
    unknown = ", ".join(sorted(entry.value.keys() - _KEYS))
    if unknown:
        raise MetricError(name, f"has {unknown}; a declaration has {', '.join(sorted(_KEYS))}")
    if kind not in _KINDS:
        raise MetricError(name, f"is a {kind or 'nothing'}; its type is one of {', '.join(_KINDS)}")
    for key in ("labels", "buckets"):
        found = entry.get(key)
        if found is not None and not isinstance(found.value, list):
            raise MetricError(name, f"{key} is {found.text}, not a list such as [{found.text}]")
    buckets = tuple(float(bound.text) for bound in entry.each("buckets"))
    return MetricSpec(
        name,
        _KINDS[kind],
        _text(entry, "help") or f"{name}, as its program describes it.",
        tuple(label.text for label in entry.each("labels")),
        (buckets or DEFAULT_BUCKETS) if kind == "histogram" else (),
    )


def _text(entry: Located, key: str) -> str:
    found = entry.get(key)
    return found.text if found is not None else ""
