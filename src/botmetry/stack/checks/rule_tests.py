"""The promtool tests: they feed series that exist, and every alert is seen firing and silent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import promql_parser as promql

from botmetry.stack.checks.problem import Problem
from botmetry.stack.checks.promql import examine
from botmetry.stack.files import StackFiles
from botmetry.stack.located import Located, read_located
from botmetry.stack.rulebook import Rulebook

__all__ = ["check_rule_tests"]


def check_rule_tests(files: StackFiles, rules: Rulebook) -> Iterator[Problem]:
    """Yield what is wrong with the promtool tests."""
    fires: set[str] = set()
    silent: set[str] = set()
    for path in files.rule_tests:
        for test in read_located(path).each("tests"):
            for series in test.each("input_series"):
                yield from _series(series, rules)
            for case in test.each("promql_expr_test"):
                yield from _expression(case, rules)
            for case in test.each("alert_rule_test"):
                name = _text(case, "alertname")
                if name not in rules.alerts:
                    yield Problem(path, case.line, f"there is no alert {name}")
                (fires if list(case.each("exp_alerts")) else silent).add(name)
    for name, alert in rules.alerts.items():
        for seen, what in ((fires, "fires"), (silent, "stays silent")):
            # What always fires cannot be tested silent.
            if name not in seen and not (name == "Watchdog" and seen is silent):
                yield Problem(
                    alert.rule.path, alert.rule.line, f"{name} has no promtool test in which it {what}"
                )


def _series(entry: Located, rules: Rulebook) -> Iterator[Problem]:
    selector = entry.get("series") or entry
    try:
        tree: Any = promql.parse(selector.text)
    except ValueError as error:
        yield Problem(selector.path, selector.line, f"{selector.text}: {error}")
        return
    series = rules.series.get(tree.name)
    if series is None:
        yield Problem(selector.path, selector.line, f"the test feeds {tree.name}, which nobody emits")
        return
    for matcher in tree.matchers.matchers:
        if matcher.name not in series.labels:
            yield Problem(selector.path, selector.line, f"{tree.name} has no label {matcher.name}")


def _expression(case: Located, rules: Rulebook) -> Iterator[Problem]:
    expr = case.get("expr") or case
    for finding in examine(expr.text, rules.series).findings:
        yield Problem(expr.path, expr.line_of(finding.token), finding.message)


def _text(value: Located, key: str) -> str:
    found = value.get(key)
    return found.text if found is not None else ""
