"""One PromQL expression against the known series.

The expression is walked once, from the leaves up. Each part knows the labels that its result can have, so that a
grouping by a label nobody sets, a match that can never succeed and a quantile without `le` are found where they
stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import promql_parser as promql

from botmetry.metrics import CATALOGUE
from botmetry.stack.series import Series

__all__ = ["Examined", "Finding", "examine"]

Labels = frozenset[str]
_NOTHING: Labels = frozenset()
_ANY = "*"
_ANYTHING: Labels = frozenset({_ANY})
"""The labels of what nobody emits: unknown, so that one misspelt name is one fault and not a row of them."""

_OF_COUNTERS = frozenset({"rate", "irate", "increase", "resets"})
_OF_GAUGES = frozenset({"delta", "idelta", "deriv", "predict_linear"})
# These ask whether a series is there, or how often it moved, not what it says.
_OF_ANY = frozenset(
    {"absent", "absent_over_time", "changes", "count_over_time", "present_over_time", "timestamp"}
)
# What happens between two evaluations is lost to them: an alert on it flaps, and a panel shows noise.
_OF_LAST_TWO = frozenset({"irate", "idelta"})
# Four times the scrape interval of monitoring/prometheus.yml, as Grafana's $__rate_interval.
_SHORTEST = timedelta(minutes=1)
_SET_OPERATORS = frozenset({"and", "or", "unless"})
_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
_KEEPING_AGGREGATES = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of an expression.

    Attributes:
        message: What is wrong.
        token: The word of the expression it is about, to find its line.
    """

    message: str
    token: str


@dataclass(slots=True)
class Examined:
    """What is known of an expression.

    Attributes:
        labels: What its result can be labelled with.
        metrics: The metrics it reads, without the suffixes of histograms.
        findings: Its faults.
    """

    labels: Labels = _NOTHING
    metrics: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)


def examine(expr: str, series: Mapping[str, Series]) -> Examined:
    """Parse `expr` and compare it with `series`; a syntax error is a finding too."""
    examined = Examined()
    try:
        tree = promql.parse(expr)
    except ValueError as error:
        examined.findings.append(Finding(f"not PromQL: {error}", ""))
        return examined
    examined.labels = _Walk(series, examined).labels(tree)
    return examined


class _Walk:
    """One pass over a tree; `within` is the function or operator around the part being looked at."""

    def __init__(self, series: Mapping[str, Series], examined: Examined) -> None:
        self._series = series
        self._examined = examined

    def labels(self, part: Any, within: str = "") -> Labels:
        found = _NOTHING
        match part:
            case promql.VectorSelector():
                found = self._selector(part, within)
            case promql.MatrixSelector():
                self._check_range(part, within)
                found = self._selector(part.vector_selector, within)
            case promql.SubqueryExpr():
                # The function around a subquery sees what the inner expression made, not the metric.
                found = self.labels(part.expr)
            case promql.ParenExpr() | promql.UnaryExpr():
                found = self.labels(part.expr, within)
            case promql.AggregateExpr():
                found = self._aggregate(part, within)
            case promql.Call():
                found = self._call(part)
            case promql.BinaryExpr():
                found = self._binary(part)
        return found

    def _found(self, message: str, token: str) -> None:
        self._examined.findings.append(Finding(message, token))

    def _selector(self, part: Any, within: str) -> Labels:
        series = self._series.get(part.name)
        if series is None:
            self._found(_unknown(part.name), part.name or "")
            return _ANYTHING
        self._examined.metrics.add(series.metric)
        for matcher in part.matchers.matchers:
            if not _has(series.labels, matcher.name):
                self._found(
                    f"{series.name} has no label {matcher.name}; it has {_list(series.labels)}", matcher.name
                )
        self._check_kind(series, within)
        if within in {"absent", "absent_over_time"}:
            return frozenset(m.name for m in part.matchers.matchers if m.op == promql.MatchOp.Equal)
        if any(m.name == "le" and m.op == promql.MatchOp.Equal for m in part.matchers.matchers):
            return series.labels - {"le"}  # one bucket is a count like any other
        return series.labels

    def _check_kind(self, series: Series, within: str) -> None:
        counts = series.kind in {"counter", "bucket"}
        if within in _OF_ANY or within in {"unless", "count", "group"}:
            return
        if counts and within not in _OF_COUNTERS:
            self._found(
                f"{series.name} is a counter: its value means nothing outside rate() or increase()",
                series.name,
            )
        if not counts and within in _OF_COUNTERS:
            self._found(
                f"{series.name} is a gauge: {within}() of it means nothing, use delta() or deriv()",
                series.name,
            )
        if counts and within in _OF_GAUGES:
            self._found(f"{series.name} is a counter: {within}() of it is wrong at each restart", series.name)

    def _check_range(self, part: Any, within: str) -> None:
        name = part.vector_selector.name or ""
        if within in _OF_LAST_TWO:
            self._found(f"{within}() of {name} sees the last two samples only; use rate() or delta()", within)
        elif part.range < _SHORTEST:
            self._found(
                f"{name} over {part.range.total_seconds():g}s holds fewer than four scrapes; "
                f"a rate needs two that arrived: look at {_SHORTEST.total_seconds():g}s or more",
                name,
            )

    def _aggregate(self, part: Any, within: str) -> Labels:
        operator = str(part.op)
        inner = self.labels(part.expr, "count" if operator in {"count", "group"} else within)
        if part.modifier is None:
            return inner if operator in _KEEPING_AGGREGATES else _NOTHING
        for label in part.modifier.labels:
            if not _has(inner, label):
                self._found(f"{operator} by {label}: there is no such label here, only {_list(inner)}", label)
        named = frozenset(part.modifier.labels)
        if operator in _KEEPING_AGGREGATES:
            return inner
        if _ANY in inner:
            return named if part.modifier.type == promql.AggModifierType.By else inner
        kept = inner & named if part.modifier.type == promql.AggModifierType.By else inner - named
        if "le" in inner and "le" not in kept:
            self._found(f"{operator} drops le: the buckets of a histogram are added up", _names(part)[0])
        return kept

    def _call(self, part: Any) -> Labels:
        name = part.func.name
        results = [self.labels(argument, name) for argument in part.args]
        if name in {"scalar", "vector", "time"} or not results:
            return _NOTHING
        if name.startswith("histogram_quantile"):
            share = part.args[0]
            if isinstance(share, promql.NumberLiteral) and not 0 < share.val < 1:
                self._found(f"{name} of {share.val:g}: a quantile is between 0 and 1", f"{share.val:g}")
            if not _has(results[1], "le"):
                self._found(f"{name} needs the label le; keep it in the aggregation", name)
            return results[1] - {"le"}
        if name in {"label_replace", "label_join"}:
            return results[0] | {part.args[1].val}
        return next((labels for labels in results if labels), _NOTHING)

    def _binary(self, part: Any) -> Labels:
        operator = str(part.op)
        # Under `unless` a counter is asked whether it was there before, which is how a new one is seen.
        within = "unless" if operator == "unless" else ""
        left, right = self.labels(part.lhs, within), self.labels(part.rhs, within)
        if operator in _COMPARISONS:
            self._check_bound(part)
        if _is_scalar(part.lhs) or _is_scalar(part.rhs):
            return right if _is_scalar(part.lhs) else left
        matched = self._matched(part, operator, left, right)
        if operator in _SET_OPERATORS:
            return left | right if operator == "or" else left
        modifier = part.modifier
        if modifier is not None and modifier.card == promql.VectorMatchCardinality.ManyToOne:
            return left | frozenset(modifier.group_labels or ())
        if modifier is not None and modifier.card == promql.VectorMatchCardinality.OneToMany:
            return right | frozenset(modifier.group_labels or ())
        return matched

    def _matched(self, part: Any, operator: str, left: Labels, right: Labels) -> Labels:
        matching = part.modifier.matching if part.modifier is not None else None
        if matching is None:
            if left != right and operator != "or" and _ANY not in left | right:
                self._found(
                    f"the sides of {operator} never match: {_list(left)} against {_list(right)}; use on() or by ()",
                    operator,
                )
            return left
        named = frozenset(matching.labels)
        if matching.type == promql.LabelModifierType.Exclude:
            return left - named
        for label in (label for label in named if not (_has(left, label) and _has(right, label))):
            self._found(f"{operator} on ({label}): both sides need that label", label)
        return named

    def _check_bound(self, part: Any) -> None:
        call, number = part.lhs, part.rhs
        if not (isinstance(call, promql.Call) and isinstance(number, promql.NumberLiteral)):
            return
        if call.func.name != "histogram_quantile":
            return
        for name in _names(call):
            series = self._series.get(name)
            if series is not None and series.bounds and number.val not in series.bounds:
                self._found(
                    f"{number.val:g} is no bucket bound of {name}: a quantile near it is a guess between "
                    f"{', '.join(f'{bound:g}' for bound in series.bounds)}",
                    f"{number.val:g}",
                )


def _has(labels: Labels, label: str) -> bool:
    return label in labels or _ANY in labels


def _names(tree: Any) -> list[str]:
    names: list[str] = []

    def visit(part: Any) -> None:
        if isinstance(part, promql.VectorSelector) and part.name:
            names.append(part.name)

    promql.walk(tree, visit)
    return names


def _is_scalar(part: Any) -> bool:
    while isinstance(part, promql.ParenExpr | promql.UnaryExpr):
        part = part.expr
    if isinstance(part, promql.BinaryExpr):
        return _is_scalar(part.lhs) and _is_scalar(part.rhs)
    return isinstance(part, promql.NumberLiteral) or (
        isinstance(part, promql.Call) and part.func.name in {"scalar", "time"}
    )


def _unknown(name: str | None) -> str:
    if name is None:
        return "a selector without a metric name cannot be checked; name the metric"
    spec = CATALOGUE.get(name)
    if spec is not None:
        return f"{name} is a histogram: use {', '.join(spec.series)}"
    return f"{name} is emitted by nobody: it is neither in the catalogue nor recorded nor listed as another program's"


def _list(labels: Labels) -> str:
    return ", ".join(sorted(labels)) or "none"
