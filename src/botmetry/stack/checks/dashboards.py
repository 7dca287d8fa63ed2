"""Dashboards as they are committed: every query, every threshold, every variable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from botmetry.stack.checks.problem import Problem
from botmetry.stack.checks.promql import examine
from botmetry.stack.dashboards.alert_line import JUST_ABOVE_ZERO
from botmetry.stack.files import StackFiles
from botmetry.stack.located import Located, read_located
from botmetry.stack.render import generated
from botmetry.stack.rulebook import Rulebook

__all__ = ["check_dashboards", "panels_of", "shown_metrics"]

_VARIABLE = re.compile(r"\$(?:\{(\w+)[^}]*\}|(\w+))")
_INTERVALS = ("__rate_interval", "__interval", "__range", "__auto")
_ALERT = re.compile(r"Alert (\w+): (==|!=|>=|<=|>|<) ([0-9.e+-]+?)(, shown as its complement)?\.(?:\s|$)")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")


def check_dashboards(files: StackFiles, rules: Rulebook) -> Iterator[Problem]:
    """Yield what is wrong with the committed dashboards, differences from the generated ones last."""
    for path in sorted(files.dashboards.glob("*.json")):
        document = read_located(path)
        for panel in panels_of(document):
            yield from _panel(panel, rules)
        for variable in document.each("templating", "list"):
            yield from _variable(variable, rules)
        for annotation in document.each("annotations", "list"):
            yield from _expression(annotation, rules, "annotation")
    yield from _differences(files)


def shown_metrics(files: StackFiles, rules: Rulebook) -> set[str]:
    """Return the catalogue's and other metrics that some panel shows, directly or through a recording."""
    shown: set[str] = set()
    for path in files.dashboards.glob("*.json"):
        for panel in panels_of(read_located(path)):
            for target in panel.each("targets"):
                if _kind(target) == "prometheus":
                    shown |= examine(_substituted(_text(target, "expr")), rules.series).metrics
    for name in shown & rules.recordings.keys():
        shown |= rules.recordings[name].examined.metrics
    return shown


def panels_of(document: Located) -> Iterator[Located]:
    """Yield every panel, those in folded rows too, rows left out."""
    for panel in document.each("panels"):
        if _text(panel, "type") != "row":
            yield panel
        yield from panel.each("panels")


def _panel(panel: Located, rules: Rulebook) -> Iterator[Problem]:
    title = _text(panel, "title")
    for target in panel.each("targets"):
        if _kind(target) == "prometheus":
            yield from _expression(target, rules, title)
    text = panel.get("description")
    for match in _ALERT.finditer(text.text if text is not None else ""):
        yield from _threshold(panel, match, rules)


def _expression(owner: Located, rules: Rulebook, where: str) -> Iterator[Problem]:
    expr = owner.get("expr")
    if expr is None:
        yield Problem(owner.path, owner.line, f"{where}: a query without an expression")
        return
    for finding in examine(_substituted(expr.text), rules.series).findings:
        yield Problem(expr.path, expr.line, f"{where}: {finding.message}")


def _threshold(panel: Located, match: re.Match[str], rules: Rulebook) -> Iterator[Problem]:
    name, title = match[1], _text(panel, "title")
    alert = rules.alerts.get(name)
    if alert is None or alert.threshold is None:
        yield Problem(panel.path, panel.line, f"{title}: there is no alert {name} with a threshold")
        return
    values = [step.get("value") for step in panel.each("fieldConfig", "defaults", "thresholds", "steps")]
    drawn = [value for value in values if value is not None]
    line = drawn[-1].line if drawn else panel.line
    value = alert.threshold.value
    wanted = round(1 - value, 9) if match[4] else (value + 1 if alert.threshold.operator == "==" else value)
    if not any(_same(step.text, wanted or JUST_ABOVE_ZERO) for step in drawn):
        yield Problem(panel.path, line, f"{title}: draws no line where {name} begins ({alert.threshold})")
    if not _same(match[3], value) or match[2] != alert.threshold.operator:
        line = (panel.get("description") or panel).line
        yield Problem(
            panel.path, line, f"{title}: says {match[2]} {match[3]}, {name} compares {alert.threshold}"
        )


def _variable(variable: Located, rules: Rulebook) -> Iterator[Problem]:
    query = variable.get("query")
    if query is None or _text(variable, "type") != "query":
        return
    match = _LABEL_VALUES.fullmatch(query.text)
    if match is None:
        yield Problem(query.path, query.line, f"{query.text} is not label_values(metric, label)")
        return
    # Grouping by the label says whether the metric has it.
    expr = f"count by ({match[2]}) ({_substituted(match[1])})"
    for finding in examine(expr, rules.series).findings:
        yield Problem(query.path, query.line, f"variable {_text(variable, 'name')}: {finding.message}")


def _differences(files: StackFiles) -> Iterator[Problem]:
    wanted = generated(files)
    for path in sorted(wanted.keys() | set(files.dashboards.glob("*.json"))):
        if path not in wanted:
            yield Problem(path, 1, "nothing generates this file; delete it or write a dashboard")
        elif not path.is_file():
            yield Problem(path, 1, "missing; run `botmetry render`")
        else:
            yield from _difference(path, wanted[path])


def _difference(path: Path, wanted: str) -> Iterator[Problem]:
    there, should = path.read_text("utf-8").splitlines(), wanted.splitlines()
    for number in range(max(len(there), len(should))):
        pair = [lines[number].strip() if number < len(lines) else "(nothing)" for lines in (there, should)]
        if pair[0] != pair[1]:
            yield Problem(path, number + 1, f"{pair[0]} stands where `botmetry render` writes {pair[1]}")
            return


def _substituted(expr: str) -> str:
    def value(match: re.Match[str]) -> str:
        return "5m" if (match[1] or match[2]) in _INTERVALS else "x"

    return _VARIABLE.sub(value, expr)


def _kind(target: Located) -> str:
    kind = target.get("datasource", "type")
    return kind.text if kind is not None else ""


def _text(value: Located, key: str) -> str:
    found = value.get(key)
    return found.text if found is not None else ""


def _same(text: str, value: float) -> bool:
    try:
        return abs(float(text) - value) <= 1e-12 * max(1.0, abs(value))
    except ValueError:
        return False
