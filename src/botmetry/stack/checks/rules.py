"""Alert and recording rules: what they read exists, and each alert tells a person all that it should."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isclose
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from botmetry.stack.checks.logql import examine_logql, foreign_jobs
from botmetry.stack.checks.problem import Problem
from botmetry.stack.files import StackFiles
from botmetry.stack.located import Located, read_located
from botmetry.stack.naming import project_name
from botmetry.stack.rulebook import Alert, Rulebook
from botmetry.stack.series import TARGET_LABELS

__all__ = ["check_alerts", "check_log_alerts", "check_recordings"]

_SEVERITIES = ("critical", "warning", "info")
_LABELS = ("severity", "service", "component")
_ANNOTATIONS = ("summary", "description", "runbook_url", "dashboard_url")
_LABEL_IN_TEMPLATE = re.compile(r"\$labels\.(\w+)")
# As `humanize`, `humanizePercentage` and `humanizeDuration` write a number.
_LIMIT = re.compile(r"\((?:limit|budget) \$?([0-9.]+)(%|ms|s|m|h|d)?\)")
_LIMIT_UNITS = {"": 1.0, "%": 0.01, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RECORD = re.compile(r"[a-z0-9_]+:[a-z0-9_]+:[a-z0-9_]+")


def check_alerts(files: StackFiles, rules: Rulebook) -> Iterator[Problem]:
    """Yield what is wrong with the alert rules."""
    yield from _repeated(files.alerts, "alert")
    for alert in rules.alerts.values():
        expr = alert.rule.get("expr") or alert.rule
        for finding in alert.examined.findings:
            yield Problem(expr.path, expr.line_of(finding.token), f"{alert.name}: {finding.message}")
        if not alert.examined.findings:
            # What a broken expression yields is not known, so nothing can be said of what is made from it.
            yield from _told(files, alert.name, alert.rule, set(alert.examined.labels))
        yield from _limit(alert)


def check_recordings(files: StackFiles, rules: Rulebook) -> Iterator[Problem]:
    """Yield what is wrong with the recording rules."""
    yield from _repeated(files.recording, "record")
    for name, recording in rules.recordings.items():
        expr = recording.rule.get("expr") or recording.rule
        for finding in recording.examined.findings:
            yield Problem(expr.path, expr.line_of(finding.token), f"{name}: {finding.message}")
        if not _RECORD.fullmatch(name):
            yield Problem(
                expr.path, recording.rule.line, f"{name}: a recording is named level:metric:operation"
            )


def check_log_alerts(files: StackFiles) -> Iterator[Problem]:
    """Yield what is wrong with the alerts of Loki's ruler."""
    project = project_name(files)
    for path in files.log_rules:
        for name, rule in _each(path, "alert"):
            expr = rule.get("expr") or rule
            for message in (*examine_logql(expr.text), *foreign_jobs(expr.text, project)):
                yield Problem(path, expr.line, f"{name}: {message}")
            # What LogQL yields is labels of streams, which the agents' configurations set.
            yield from _told(files, name, rule, {*TARGET_LABELS, "level", "stream"})


def _limit(alert: Alert) -> Iterator[Problem]:
    """Compare the limit that a description names with the number that the expression compares with."""
    said = _LIMIT.search(_text(alert.rule.get("annotations") or alert.rule, "description"))
    if said is None or alert.threshold is None:
        return
    limit, expr = float(said[1]) * _LIMIT_UNITS[said[2] or ""], alert.rule.get("expr") or alert.rule
    if not isclose(limit, alert.threshold.value):
        yield Problem(
            expr.path,
            expr.line_of(f"{alert.threshold.value:g}"),
            f"{alert.name}: compares {alert.threshold}, its description says {said[0]}",
        )


def _told(files: StackFiles, name: str, rule: Located, labels: set[str]) -> Iterator[Problem]:
    if rule.get("for") is None:
        yield Problem(rule.path, rule.line, f"{name}: say how long it has to last, `for: 0s` when not at all")
    for label in _LABELS:
        if rule.get("labels", label) is None and label not in labels:
            yield Problem(rule.path, rule.line, f"{name} has no label {label}, by which it is routed")
    severity = rule.get("labels", "severity")
    if severity is not None and severity.text not in _SEVERITIES:
        yield Problem(
            rule.path, severity.line, f"{name}: severity {severity.text} is none of {', '.join(_SEVERITIES)}"
        )
    for annotation in _ANNOTATIONS:
        text = rule.get("annotations", annotation)
        if text is None or not text.text.strip():
            yield Problem(rule.path, rule.line, f"{name} has no annotation {annotation}")
            continue
        for label in _LABEL_IN_TEMPLATE.findall(text.text):
            if label not in labels:
                yield Problem(
                    rule.path,
                    text.line_of(f"$labels.{label}"),
                    f"{name}: its expression yields no label {label}, only {', '.join(sorted(labels)) or 'none'}",
                )
    yield from _links(files, name, rule)


def _links(files: StackFiles, name: str, rule: Located) -> Iterator[Problem]:
    runbook = rule.get("annotations", "runbook_url")
    page = files.runbooks / f"{name}.md"
    if runbook is not None and not runbook.text.endswith(f"/user/{name}.md"):
        yield Problem(
            rule.path, runbook.line, f"{name}: its runbook is served as /user/{name}.md, not {runbook.text}"
        )
    if not page.is_file():
        line = (runbook or rule).line
        yield Problem(rule.path, line, f"{name} has no runbook: write {files.relative(page)}")
    link = rule.get("annotations", "dashboard_url")
    if link is not None:
        yield from _dashboard_link(files, name, link)


def _dashboard_link(files: StackFiles, name: str, link: Located) -> Iterator[Problem]:
    parts = urlsplit(link.text)
    path = files.dashboards / f"{parts.path.removeprefix('/d/')}.json"
    if not path.is_file():
        yield Problem(link.path, link.line, f"{name}: there is no dashboard {parts.path.removeprefix('/d/')}")
        return
    variables = {_text(variable, "name") for variable in read_located(path).each("templating", "list")}
    for parameter in parse_qs(parts.query, keep_blank_values=True):
        if parameter.removeprefix("var-") not in variables:
            yield Problem(link.path, link.line, f"{name}: {path.stem} has no variable for {parameter}")


def _repeated(path: Path, key: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for name, rule in _each(path, key):
        if name in seen:
            yield Problem(path, rule.line, f"{name} is there twice")
        seen.add(name)


def _each(path: Path, key: str) -> Iterator[tuple[str, Located]]:
    for group in read_located(path).each("groups"):
        for rule in group.each("rules"):
            name = rule.get(key)
            if name is not None:
                yield name.text, rule


def _text(value: Located, key: str) -> str:
    found = value.get(key)
    return found.text if found is not None else ""
