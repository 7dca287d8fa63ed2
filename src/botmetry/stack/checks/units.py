"""Whether the unit of a panel fits what its queries compute.

An expression is measured in powers of seconds, bytes, dollars and things counted: `rate` takes a second away, a
division subtracts, a quantile has the unit of its histogram. What the powers say is compared with Grafana's unit;
where they say nothing (a logarithm, an unknown series) nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import promql_parser as promql

from botmetry.metrics import CATALOGUE
from botmetry.stack.checks.board_file import PROMETHEUS, kind_of, substituted, text_of
from botmetry.stack.checks.problem import Problem
from botmetry.stack.located import Located
from botmetry.stack.rulebook import Rulebook
from botmetry.stack.series import EXTERNAL

__all__ = ["UNITS", "Measure", "check_units", "measure", "unit_of"]

_SPECS = {**CATALOGUE, **{spec.name: spec for spec in EXTERNAL}}
_TIMES = frozenset({60.0, 3600.0, 86400.0, 604800.0, 2592000.0})
_SAME = frozenset(
    {"increase", "delta", "idelta", "abs", "ceil", "floor", "round", "scalar", "sort", "sort_desc"}
)
_FIRST = frozenset({"clamp", "clamp_min", "clamp_max", "label_replace", "label_join"})
_COUNTING = frozenset({"changes", "resets", "count_over_time"})
_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})


@dataclass(frozen=True, slots=True)
class Measure:
    """What an expression is measured in, as powers.

    Attributes:
        seconds: 1 for a time, -1 for something a second.
        bytes: 1 for an amount of data.
        usd: 1 for money.
        count: 1 for a number of things, 0 for a share.
        scaled: A number was multiplied with it, so that a share may be a multiple now.
    """

    seconds: int = 0
    bytes: int = 0
    usd: int = 0
    count: int = 0
    scaled: bool = False

    def over(self, other: Measure) -> Measure:
        """Return the measure of a quotient."""
        return Measure(
            self.seconds - other.seconds,
            self.bytes - other.bytes,
            self.usd - other.usd,
            self.count - other.count,
            self.scaled or other.scaled,
        )

    @property
    def units(self) -> frozenset[str]:
        """Grafana's units that fit; none of them where nothing can be said."""
        physical = (self.seconds, self.bytes, self.usd)
        # Seconds an observation are seconds; a count beside another unit says nothing.
        count = max(self.count, 0) if physical in {(0, 0, 0), (-1, 0, 0)} else 0
        found = _FITTING.get((*physical, min(count, 1)), frozenset[str]())
        if self.scaled and physical == (0, 0, 0):
            found |= {"short", "none", "percent", "percentunit"}
        return found


_FITTING: Mapping[tuple[int, int, int, int], frozenset[str]] = {
    (1, 0, 0, 0): frozenset({"s", "dtdurations", "clocks"}),
    (0, 1, 0, 0): frozenset({"bytes", "decbytes"}),
    (-1, 1, 0, 0): frozenset({"Bps", "binBps"}),
    (0, 0, 1, 0): frozenset({"currencyUSD"}),
    (-1, 0, 0, 1): frozenset({"ops", "reqps", "rps", "wps", "cps", "iops"}),
    (0, 0, 0, 1): frozenset({"short", "none", "locale", "bool", "bool_yes_no", "bool_on_off"}),
    (0, 0, 0, 0): frozenset({"percentunit"}),
}

UNITS = frozenset[str]().union(*_FITTING.values()) | {"percent", "dateTimeAsIso", "dateTimeFromNow", "string"}
"""Grafana's units that a dashboard of the house may use; each is one of the linter's."""

_BASE = {
    "seconds": Measure(seconds=1),
    "bytes": Measure(bytes=1),
    "usd": Measure(usd=1),
    "ratio": Measure(),
    "": Measure(count=1),
}


def unit_of(panel: Located) -> tuple[str, Located]:
    """Return the unit of a panel, a heatmap's being that of its axis, and where it stands."""
    keys = ("options", "yAxis", "unit") if text_of(panel, "type") == "heatmap" else _UNIT
    found = panel.get(*keys)
    return (found.text, found) if found is not None else ("", panel)


_UNIT = ("fieldConfig", "defaults", "unit")


def check_units(panel: Located, rules: Rulebook) -> Iterator[Problem]:
    """Yield the queries of a panel whose unit is another than the panel shows."""
    title, heat = text_of(panel, "title"), text_of(panel, "type") == "heatmap"
    own = _overrides(panel)
    for target in panel.each("targets"):
        expr = target.get("expr")
        if expr is None or kind_of(target) != PROMETHEUS:
            continue
        unit, place = own.get(text_of(target, "refId")) or unit_of(panel)
        found = _of_buckets(expr.text) if heat else measure(expr.text, rules)
        if found is not None and found.units and unit not in found.units:
            fitting = " or ".join(sorted(found.units))
            yield Problem(
                place.path,
                place.line,
                f"{title}: shows {unit or 'no unit'} where {expr.text} is in {fitting}",
            )


def measure(expr: str, rules: Rulebook) -> Measure | None:
    """Return what an expression is measured in, or None where that cannot be said."""
    try:
        return _measured(promql.parse(substituted(expr)), rules)
    except ValueError:
        return None


def _overrides(panel: Located) -> dict[str, tuple[str, Located]]:
    """Return the units of single queries by their refId."""
    found: dict[str, tuple[str, Located]] = {}
    for override in panel.each("fieldConfig", "overrides"):
        for entry in override.each("properties"):
            value = entry.get("value")
            if text_of(entry, "id") == "unit" and value is not None:
                found[text_of(override, "matcher", "options")] = (value.text, value)
    return found


def _of_buckets(expr: str) -> Measure | None:
    try:
        return _bucket_unit(promql.parse(substituted(expr)))
    except ValueError:
        return None


def _bucket_unit(part: Any) -> Measure | None:
    names: list[str] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql.VectorSelector) and node.name:
            names.append(node.name)

    promql.walk(part, visit)
    specs = [_SPECS.get(name.removesuffix("_bucket")) for name in names]
    return _BASE.get(specs[0].unit) if specs and specs[0] is not None else None


def _measured(part: Any, rules: Rulebook) -> Measure | None:
    found = None
    match part:
        case promql.VectorSelector():
            found = _series(part.name or "", rules)
        case promql.MatrixSelector():
            found = _series(part.vector_selector.name or "", rules)
        case promql.SubqueryExpr() | promql.ParenExpr() | promql.UnaryExpr():
            found = _measured(part.expr, rules)
        case promql.AggregateExpr():
            found = _aggregated(part, rules)
        case promql.Call():
            found = _called(part, rules)
        case promql.BinaryExpr():
            found = _combined(part, rules)
    return found


def _series(name: str, rules: Rulebook) -> Measure | None:
    recording = rules.recordings.get(name)
    if recording is not None:
        # Several rules may record one name, each about something else: then nothing is claimed.
        several = sum(line.split() == ["-", "record:", name] for line in recording.rule.source) > 1
        expr = recording.rule.get("expr")
        return measure(expr.text, rules) if expr is not None and not several else None
    series = rules.series.get(name)
    spec = _SPECS.get(series.metric) if series is not None else None
    if series is None or spec is None:
        return None
    counting = series.kind == "bucket" or (spec.kind == "histogram" and name.endswith("_count"))
    return Measure(count=1) if counting else _BASE.get(spec.unit)


def _aggregated(part: Any, rules: Rulebook) -> Measure | None:
    operator = str(part.op)
    if operator in {"count", "group", "count_values"}:
        return Measure(count=1)
    found = _measured(part.expr, rules)
    # The mean of what is 0 or 1 is a share.
    return replace(found, scaled=True) if found is not None and operator == "avg" and found.count else found


def _called(part: Any, rules: Rulebook) -> Measure | None:
    name, arguments = part.func.name, part.args
    if name in {"time", "timestamp"} | _COUNTING:
        return Measure(count=1) if name in _COUNTING else Measure(seconds=1)
    if name == "histogram_quantile":
        return _bucket_unit(arguments[1])
    inner = _measured(arguments[-1 if name == "quantile_over_time" else 0], rules) if arguments else None
    if inner is not None and name in {"rate", "irate", "deriv"}:
        return replace(inner, seconds=inner.seconds - 1)
    if inner is not None and name == "avg_over_time" and inner.count:
        return replace(inner, scaled=True)
    return inner if name in _SAME | _FIRST or name.endswith("_over_time") else None


def _combined(part: Any, rules: Rulebook) -> Measure | None:
    operator = str(part.op)
    left, right = _measured(part.lhs, rules), _measured(part.rhs, rules)
    if operator in {"and", "unless"}:
        return left
    if operator == "or":
        return left if left is not None else right
    numbers = [side.val for side in (part.lhs, part.rhs) if isinstance(side, promql.NumberLiteral)]
    if operator in _COMPARISONS or operator in {"+", "-"}:
        return left if left is not None else right
    if numbers and isinstance(part.rhs, promql.NumberLiteral) | (operator == "*"):
        return _scaled(operator, left if left is not None else right, numbers[0])
    if left is None or right is None or operator not in {"*", "/"}:
        return None
    return left.over(right) if operator == "/" else left.over(Measure().over(right))


def _scaled(operator: str, found: Measure | None, number: float) -> Measure | None:
    if found is None or not number:
        return found
    if operator == "*" and number in _TIMES and found.seconds < 0:
        return replace(found, seconds=found.seconds + 1)
    return replace(found, scaled=True)
