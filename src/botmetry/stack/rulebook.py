"""The project's rules as objects: alerts with their thresholds, recordings with their labels.

The alert file is the one place where a threshold stands; dashboards draw the line that they ask here for. They are made
for the alerts that botmetry ships: one of these that the project deleted has no line, any other name is a mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import promql_parser as promql

from botmetry.errors import StackError
from botmetry.stack.checks.promql import Examined, examine
from botmetry.stack.files import StackFiles, shipped
from botmetry.stack.located import Located, parse_located, read_located
from botmetry.stack.own_metrics import read_own_metrics
from botmetry.stack.series import Series, catalogue_series, metric_series, recorded
from botmetry.stack.slo import read_service_levels
from botmetry.stack.slo_rules import RECORDED, render_service_levels

__all__ = ["Alert", "Recording", "Rulebook", "Threshold", "read_rulebook"]

_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where an alert begins.

    Attributes:
        operator: Such as ">".
        value: In the unit of the metric.
    """

    operator: str
    value: float

    def __str__(self) -> str:
        return f"{self.operator} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule.

    Attributes:
        name: `FamilySymptom`.
        rule: The rule as it stands in the file.
        examined: What its expression reads and yields.
        threshold: The comparison that decides, or None where there is none (`absent`, `unless`).
    """

    name: str
    rule: Located
    examined: Examined
    threshold: Threshold | None


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording rule.

    Attributes:
        series: What it makes.
        rule: The rule as it stands in the file.
        examined: What its expression reads and yields.
    """

    series: Series
    rule: Located
    examined: Examined


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Every rule of a project.

    Attributes:
        alerts: By name.
        recordings: By the name of their series.
        series: All that a query may name: catalogue, other programs, recordings.
        deleted: The alerts that botmetry ships and this project has no more.
    """

    alerts: Mapping[str, Alert]
    recordings: Mapping[str, Recording]
    series: Mapping[str, Series]
    deleted: frozenset[str] = frozenset()

    def threshold(self, alert: str) -> Threshold | None:
        """Return where `alert` begins, or None where the project deleted it.

        Raises:
            StackError: There never was such an alert, or it compares with nothing.
        """
        if alert in self.deleted:
            return None
        found = self.alerts.get(alert)
        if found is None:
            raise StackError(
                f"there is no alert {alert}, and botmetry ships none: correct its name in the dashboard, or take its "
                f"line out there; there are {', '.join(self.alerts)}"
            )
        if found.threshold is None:
            raise StackError(
                f"{found.rule.path}:{found.rule.line}: {alert} compares nothing with a number, and panels draw its line"
            )
        return found.threshold

    def recording(self, name: str) -> Series:
        """Return the series of a recording rule.

        Raises:
            StackError: Nobody records it.
        """
        if name not in self.recordings:
            raise StackError(f"no rule records {name}; they record {', '.join(self.recordings)}")
        return self.recordings[name].series


def read_rulebook(files: StackFiles) -> Rulebook:
    """Read the rule files of a project; faults of single rules are left for the checks.

    The rules of the service levels are those that `botmetry render` would write, so that nothing depends on whether it
    has been run.

    Raises:
        StackError: A file is missing or cannot be parsed, the shipped alerts included.
    """
    own = metric_series(read_own_metrics(files))
    series = catalogue_series() | own | {one.name: one for one in RECORDED}
    levels = render_service_levels(read_service_levels(files))
    documents = [
        read_located(files.recording),
        parse_located(files.service_level_rules, levels),
        read_located(files.alerts),
    ]
    recordings: dict[str, Recording] = {}
    for name, rule in _rules(documents, "record"):
        examined = examine(_text(rule, "expr"), series)
        recordings[name] = Recording(recorded(name, examined.labels | _added(rule)), rule, examined)
        series[name] = recordings[name].series
    alerts: dict[str, Alert] = {}
    for name, rule in _rules(documents, "alert"):
        expr = _text(rule, "expr")
        alerts[name] = Alert(name, rule, examine(expr, series), _threshold(expr))
    return Rulebook(alerts, recordings, series, _shipped_alerts() - alerts.keys())


@cache  # it stays as it was installed
def _shipped_alerts() -> frozenset[str]:
    document = read_located(StackFiles(shipped()).alerts)
    return frozenset(name for name, _ in _rules([document], "alert"))


def _rules(documents: Iterable[Located], key: str) -> Iterator[tuple[str, Located]]:
    for document in documents:
        for group in document.each("groups"):
            for rule in group.each("rules"):
                name = rule.get(key)
                if name is not None:
                    yield name.text, rule


def _added(rule: Located) -> frozenset[str]:
    labels = rule.get("labels")
    return frozenset(label for label, _ in labels.items()) if labels is not None else frozenset()


def _text(rule: Located, key: str) -> str:
    found = rule.get(key)
    return found.text if found is not None else ""


def _threshold(expr: str) -> Threshold | None:
    try:
        part: Any = promql.parse(expr)
    except ValueError:
        return None
    while isinstance(part, promql.ParenExpr) or (
        isinstance(part, promql.BinaryExpr) and str(part.op) in {"and", "or", "unless"}
    ):
        # The first operand decides; what follows guards it or adds to it.
        part = part.expr if isinstance(part, promql.ParenExpr) else part.lhs
    if not isinstance(part, promql.BinaryExpr) or str(part.op) not in _COMPARISONS:
        return None
    if not isinstance(part.rhs, promql.NumberLiteral):
        return None
    return Threshold(str(part.op), part.rhs.val)
