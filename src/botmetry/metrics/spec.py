"""What is known of a metric before it has a value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from botmetry.errors import MetricError

__all__ = ["Across", "Kind", "MetricSpec"]

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "info"]
Across: TypeAlias = Literal["sum", "max", "latest"]

_ACROSS = ("sum", "max", "latest")
_KINDS = ("counter", "gauge", "histogram", "info")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# Reserved by the exposition format: the suffixes of a histogram's samples.
_RESERVED_SUFFIXES = ("_bucket", "_sum", "_count", "_created")
_UNITS = ("seconds", "bytes", "ratio", "usd")


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric of a catalogue.

    Attributes:
        name: The name that queries use; a counter's ends in `_total`, an info's in `_info`.
        kind: counter, gauge, histogram or info.
        help: One sentence for people.
        labels: Label names, in the order of `labels(...)`.
        buckets: Upper bounds of a histogram, ascending, without +Inf; empty for the other kinds.
        family: The catalogue family, such as `bot`; `own` for a user's metric.
        source: Who produces the samples: `botmetry`, or the library whose collector we expose.
        across: How a gauge that several processes set becomes one number: the sum or the maximum over those that live,
            or the latest value set by any, also by one that has ended since. Counters and histograms always add up.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    family: str = "own"
    source: str = "botmetry"
    across: Across = "sum"

    def __post_init__(self) -> None:
        _check_name(self)
        _check_labels(self)
        _check_buckets(self)

    @property
    def base(self) -> str:
        """The name without `_total` or `_info`, as OpenMetrics' `# TYPE` line wants it."""
        endings = {"counter": "_total", "info": "_info"}
        return self.name.removesuffix(endings.get(self.kind, ""))

    @property
    def unit(self) -> str:
        """The base unit that the name ends with, or an empty string."""
        return next((unit for unit in _UNITS if self.base.endswith("_" + unit)), "")

    @property
    def series(self) -> tuple[str, ...]:
        """The names of the samples that are exposed."""
        if self.kind == "histogram":
            return (self.name + "_bucket", self.name + "_sum", self.name + "_count")
        return (self.name,)


def _check_name(spec: MetricSpec) -> None:
    if spec.kind not in _KINDS:
        raise MetricError(spec.name, f"unknown kind {spec.kind!r}; use one of {', '.join(_KINDS)}")
    if spec.across not in _ACROSS:
        raise MetricError(
            spec.name, f"across={spec.across!r} cannot be used; use one of {', '.join(_ACROSS)}"
        )
    if not _NAME.fullmatch(spec.name):
        raise MetricError(spec.name, "a name has letters, digits and underscores, and no digit first")
    if spec.kind == "counter" and not spec.name.endswith("_total"):
        raise MetricError(spec.name, "a counter's name ends in _total")
    if spec.name.endswith(_RESERVED_SUFFIXES):
        raise MetricError(spec.name, f"the endings {', '.join(_RESERVED_SUFFIXES)} belong to histograms")
    if not spec.help.strip():
        raise MetricError(spec.name, "the help text is empty: say what is counted or measured")


def _check_labels(spec: MetricSpec) -> None:
    if isinstance(spec.labels, str):
        raise MetricError(spec.name, f"labels is the text {spec.labels!r}; write labels=({spec.labels!r},)")
    reserved: Iterable[str] = ("le",) if spec.kind == "histogram" else ()
    for label in spec.labels:
        if not _NAME.fullmatch(label) or label.startswith("__") or label in reserved:
            raise MetricError(spec.name, f"{label!r} cannot be a label name")
    if len(set(spec.labels)) != len(spec.labels):
        raise MetricError(spec.name, f"a label appears twice in {spec.labels}")


def _check_buckets(spec: MetricSpec) -> None:
    if (spec.kind == "histogram") != bool(spec.buckets):
        raise MetricError(spec.name, "a histogram, and nothing else, has buckets")
    if any(not low < high for low, high in zip(spec.buckets, spec.buckets[1:], strict=False)):
        raise MetricError(spec.name, f"buckets must ascend: {spec.buckets}")
    if spec.buckets and not spec.buckets[-1] < float("inf"):
        raise MetricError(spec.name, "the +Inf bucket is added by itself; leave it out")
