"""Dashboards as they are committed: every query, every threshold, every variable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from botmetry.stack.checks.board_file import PROMETHEUS, kind_of, panels_of, substituted, text_of
from botmetry.stack.checks.house import check_house, check_spreads
from botmetry.stack.checks.linter import lint
from botmetry.stack.checks.problem import Problem
from botmetry.stack.checks.promql import examine
from botmetry.stack.checks.units import check_units
from botmetry.stack.dashboards.alert_line import JUST_ABOVE_ZERO
from botmetry.stack.files import StackFiles
from botmetry.stack.located import Located, read_located
from botmetry.stack.render import generated
from botmetry.stack.rulebook import Rulebook

__all__ = ["check_dashboards", "panels_of", "shown_metrics"]

_ALERT = re.compile(r"Alert (\w+): (==|!=|>=|<=|>|<) ([0-9.e+-]+?)(, shown as its complement)?\.(?:\s|$)")


def check_dashboards(files: StackFiles, rules: Rulebook) -> Iterator[Problem]:
    """Yield what is wrong with the committed dashboards, differences from the generated ones last."""
    boards = {path.stem: read_located(path) for path in sorted(files.dashboards.glob("*.json"))}
    for document in boards.values():
        yield from lint(document, rules.series)
        for panel in panels_of(document):
            yield from _panel(panel, rules)
            yield from check_units(panel, rules)
        for annotation in document.each("annotations", "list"):
            yield from _expression(annotation, rules, "annotation")
    yield from check_house(boards)
    yield from check_spreads(files, boards)
    yield from _differences(files)


def shown_metrics(files: StackFiles, rules: Rulebook) -> set[str]:
    """Return the catalogue's and other metrics that some panel shows, directly or through a recording."""
    shown: set[str] = set()
    for path in files.dashboards.glob("*.json"):
        for panel in panels_of(read_located(path)):
            for target in panel.each("targets"):
                if kind_of(target) == PROMETHEUS:
                    shown |= examine(substituted(text_of(target, "expr")), rules.series).metrics
    for name in shown & rules.recordings.keys():
        shown |= rules.recordings[name].examined.metrics
    return shown


def _panel(panel: Located, rules: Rulebook) -> Iterator[Problem]:
    title = text_of(panel, "title")
    for target in panel.each("targets"):
        if kind_of(target) == PROMETHEUS:
            yield from _expression(target, rules, title)
    text = panel.get("description")
    for match in _ALERT.finditer(text.text if text is not None else ""):
        yield from _threshold(panel, match, rules)


def _expression(owner: Located, rules: Rulebook, where: str) -> Iterator[Problem]:
    expr = owner.get("expr")
    if expr is None:
        return  # the linter's rules say so
    for finding in examine(substituted(expr.text), rules.series).findings:
        yield Problem(expr.path, expr.line, f"{where}: {finding.message}")


def _threshold(panel: Located, match: re.Match[str], rules: Rulebook) -> Iterator[Problem]:
    name, title = match[1], text_of(panel, "title")
    if name in rules.deleted:
        yield Problem(
            panel.path, panel.line, f"{title}: alerts.yml no longer has {name}; run `botmetry render`"
        )
        return
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


def _same(text: str, value: float) -> bool:
    try:
        return abs(float(text) - value) <= 1e-12 * max(1.0, abs(value))
    except ValueError:
        return False
