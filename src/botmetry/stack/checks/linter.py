"""The rules of grafana/dashboard-linter, all seventeen, without its program; each message ends with its rule's name.

Where a rule looks at some kinds of panel only, ours looks at all of them. Two exceptions are made, for what cannot be
otherwise: a series without the label `job` or `instance` (what rules record, ALERTS) is not asked for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from botmetry.stack.checks.board_file import (
    LOKI,
    PROMETHEUS,
    RATE_INTERVAL,
    kind_of,
    panels_of,
    read_selectors,
    text_of,
)
from botmetry.stack.checks.logql import examine_logql, ranges_of
from botmetry.stack.checks.problem import Problem
from botmetry.stack.checks.promql import examine
from botmetry.stack.checks.units import UNITS, unit_of
from botmetry.stack.located import Located
from botmetry.stack.series import Series

__all__ = ["lint"]

_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
_OF_RATES = frozenset({"rate", "irate", "increase"})
_ON_TIME_RANGE_CHANGE = "2"


def lint(document: Located, series: Mapping[str, Series]) -> Iterator[Problem]:
    """Yield what breaks a rule of the linter in one dashboard."""
    if text_of(document, "editable") != "false":
        yield _problem(document.get("editable") or document, "set editable to false", "uneditable-dashboard")
    variables = {text_of(variable, "name"): variable for variable in document.each("templating", "list")}
    yield from _sources(document, variables)
    for name, rule in (("job", "template-job-rule"), ("instance", "template-instance-rule")):
        yield from _target_variable(document, variables.get(name), name, rule)
    for variable in variables.values():
        if text_of(variable, "type") == "query":
            yield from _query_variable(variable, series)
    sources = {name for name, variable in variables.items() if text_of(variable, "type") == "datasource"}
    for panel in panels_of(document):
        yield from _panel(panel, sources)
        for target in panel.each("targets"):
            yield from _target(panel, target, series)


def _sources(document: Located, variables: Mapping[str, Located]) -> Iterator[Problem]:
    rule = "template-datasource-rule"
    sources = [variable for variable in variables.values() if text_of(variable, "type") == "datasource"]
    if not any(text_of(variable, "query") == PROMETHEUS for variable in sources):
        place = document.get("templating") or document
        yield _problem(place, "the Prometheus cannot be chosen: no variable is a data source", rule)
    for variable in sources:
        kind = text_of(variable, "query")
        names, labels = {f"{kind}_datasource"}, {f"{kind.capitalize()} data source"}
        if len(sources) == 1:
            names, labels = names | {"datasource"}, labels | {"Data source"}
        for key, allowed in (("name", names), ("label", labels)):
            if text_of(variable, key) not in allowed:
                place = variable.get(key) or variable
                yield _problem(place, f"a data source's {key} is {' or '.join(sorted(allowed))}", rule)


def _target_variable(document: Located, variable: Located | None, name: str, rule: str) -> Iterator[Problem]:
    if variable is None:
        place = document.get("templating") or document
        yield _problem(place, f"there is no variable {name}", rule)
        return
    source = text_of(variable, "datasource", "uid")
    wanted = {"type": "query", "label": name.capitalize(), "multi": "true", "allValue": ".+"}
    for key, value in wanted.items():
        if text_of(variable, key) != value:
            yield _problem(variable.get(key) or variable, f"variable {name}: {key} is not {value}", rule)
    if source.strip("${}") not in {"datasource", f"{PROMETHEUS}_datasource"}:
        place = variable.get("datasource", "uid") or variable
        yield _problem(place, f"variable {name} does not ask the chosen Prometheus", rule)


def _query_variable(variable: Located, series: Mapping[str, Series]) -> Iterator[Problem]:
    name, query = text_of(variable, "name"), variable.get("query") or variable
    if text_of(variable, "refresh") != _ON_TIME_RANGE_CHANGE:
        place = variable.get("refresh") or variable
        rule = "template-on-time-change-reload-rule"
        yield _problem(place, f"variable {name} is not read again when the time range changes", rule)
    match = _LABEL_VALUES.fullmatch(query.text)
    rule = "template-label-promql-rule"
    if match is None:
        yield _problem(query, f"variable {name}: {query.text} is not label_values(metric, label)", rule)
        return
    # Grouping by the label says whether the metric has it.
    for finding in examine(f"count by ({match[2]}) ({match[1]})", series).findings:
        yield _problem(query, f"variable {name}: {finding.message}", rule)


def _panel(panel: Located, sources: set[str]) -> Iterator[Problem]:
    title = text_of(panel, "title")
    for owner in (panel, *panel.each("targets")):
        uid = text_of(owner, "datasource", "uid")
        if uid.strip("${}") not in sources or not uid.startswith("$"):
            place = owner.get("datasource", "uid") or owner
            message = f"{title}: {uid or 'nothing'} is no data source that can be chosen"
            yield _problem(place, message, "panel-datasource-rule")
    for key in ("title", "description"):
        if not text_of(panel, key):
            place = panel.get(key) or panel
            yield _problem(place, f"{title}: has no {key}", "panel-title-description-rule")
    unit, place = unit_of(panel)
    if unit not in UNITS and text_of(panel, "type") != "logs":
        yield _problem(place, f"{title}: {unit or 'nothing'} is no unit the house knows", "panel-units-rule")
    if not list(panel.each("targets")):
        yield _problem(panel, f"{title}: asks nothing", "panel-no-targets-rule")


def _target(panel: Located, target: Located, series: Mapping[str, Series]) -> Iterator[Problem]:
    title, expr = text_of(panel, "title"), target.get("expr")
    if expr is None or not expr.text:
        rule = "target-logql-rule" if kind_of(target) == LOKI else "target-promql-rule"
        yield _problem(expr or target, f"{title}: a query without an expression", rule)
    elif kind_of(target) == LOKI:
        yield from _log_query(title, expr)
    else:
        for message, rule in _faults(expr.text, series):
            yield _problem(expr, f"{title}: {message}", rule)


def _log_query(title: str, expr: Located) -> Iterator[Problem]:
    for message in examine_logql(expr.text):
        yield _problem(expr, f"{title}: {message}", "target-logql-rule")
    for found in ranges_of(expr.text):
        if found != "$__auto":
            yield _problem(expr, f"{title}: counts over [{found}], not [$__auto]", "target-logql-auto-rule")


def _faults(expr: str, series: Mapping[str, Series]) -> Iterator[tuple[str, str]]:
    for selector, within, over in read_selectors(expr):
        known = series.get(selector.name)
        if within in _OF_RATES and over != RATE_INTERVAL:
            yield f"{within}() of {selector.name} is not over $__rate_interval", "target-rate-interval-rule"
        if (selector.name or "").endswith("_total") and within not in _OF_RATES:
            yield f"{selector.name} outside rate() and increase()", "target-counter-agg-rule"
        matched = {(str(matcher.op), matcher.name, matcher.value) for matcher in selector.matchers.matchers}
        for label in ("job", "instance"):
            # The labels of ALERTS are those of its rule: an alert over a service has neither.
            asked = known is not None and label in known.labels and known.name != "ALERTS"
            if asked and not any(
                "Re" in op and name == label and value == f"${label}" for op, name, value in matched
            ):
                yield f'{selector.name} is not chosen by {label}=~"${label}"', f"target-{label}-rule"


def _problem(place: Located, message: str, rule: str) -> Problem:
    return Problem(place.path, place.line, f"{message} ({rule})")
