"""Alertmanager's configuration against the alerts: what routes, holds back and tells them goes by names that exist.

A matcher with a misspelt name is valid and matches nothing: the page goes elsewhere, and nobody notices by day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from botmetry.stack.checks.problem import Problem
from botmetry.stack.files import StackFiles
from botmetry.stack.located import Located, read_located
from botmetry.stack.rulebook import Rulebook
from botmetry.stack.series import TARGET_LABELS

__all__ = ["check_routing"]

_MATCHER = re.compile(r'\s*"?([\w.]+)"?\s*(=~|!~|!=|=)\s*"?(.*?)"?\s*')
_DEFINED = re.compile(r'\{\{-?\s*define\s+"([^"]+)"')
_CALLED = re.compile(r'\{\{-?\s*template\s+"([^"]+)"')
# Alertmanager's own templates.
_BUILT_IN = re.compile(r"__.*|\w+\.default\..*")
_WATCHDOG = "Watchdog"
_SECRETS = "/run/secrets/"


@dataclass(frozen=True, slots=True)
class _Alerts:
    """What a matcher can find.

    Attributes:
        labels: Every label that some alert has.
        values: All values of the labels that only the rules set.
        watchdog: The labels of the Watchdog, where there is one.
        deleted: The names of alerts that botmetry ships and the project deleted.
    """

    labels: frozenset[str]
    values: Mapping[str, frozenset[str]]
    watchdog: Mapping[str, str]
    deleted: frozenset[str]


def check_routing(files: StackFiles, rules: Rulebook) -> Iterator[Problem]:
    """Yield what is wrong with the routes, the inhibitions, the receivers and their templates."""
    document = read_located(files.alertmanager)
    alerts = _alerts(files, rules)
    receivers = {receiver.text for entry in document.each("receivers") if (receiver := entry.get("name"))}
    for route in _routes(document.get("route")):
        receiver = route.get("receiver")
        if receiver is not None and receiver.text not in receivers:
            yield _problem(receiver, f"there is no receiver {receiver.text}")
        for matcher in route.each("matchers"):
            yield from _matcher(matcher, alerts)
        for label in route.each("group_by"):
            yield from _label(label, label.text, alerts)
    for rule in document.each("inhibit_rules"):
        yield from _inhibition(rule, alerts)
    yield from _templates(files, document)
    yield from _secrets(files, document)


def _alerts(files: StackFiles, rules: Rulebook) -> _Alerts:
    found = [(name, alert.rule, alert.examined.labels) for name, alert in rules.alerts.items()]
    found += [(name, rule, frozenset[str]()) for name, rule in _log_rules(files)]
    yields, values = {*TARGET_LABELS, "level", "stream"}, dict[str, set[str]]()
    watchdog: dict[str, str] = {}
    for name, rule, yielded in found:
        given = rule.get("labels")
        own = {label: value.text for label, value in given.items()} if given is not None else {}
        own["alertname"] = name
        for label, text in own.items():
            values.setdefault(label, set()).add(text)
        yields |= yielded
        if name == _WATCHDOG:
            watchdog = own
    # Of a label that some expression yields not every value is known.
    fixed = {label: frozenset(known) for label, known in values.items() if label not in yields}
    return _Alerts(frozenset({*values, *yields}), fixed, watchdog, rules.deleted)


def _log_rules(files: StackFiles) -> Iterator[tuple[str, Located]]:
    for path in files.log_rules:
        for group in read_located(path).each("groups"):
            for rule in group.each("rules"):
                name = rule.get("alert")
                if name is not None:
                    yield name.text, rule


def _routes(route: Located | None) -> Iterator[Located]:
    if route is not None:
        yield route
        for child in route.each("routes"):
            yield from _routes(child)


def _inhibition(rule: Located, alerts: _Alerts) -> Iterator[Problem]:
    matchers = [matcher for key in ("source_matchers", "target_matchers") for matcher in rule.each(key)]
    for matcher in matchers:
        if _only_deleted(matcher.text, alerts):
            message = f"alerts.yml no longer has what {matcher.text} matches; remove this inhibit rule"
            yield _problem(matcher, message)
            return
    for matcher in matchers:
        yield from _matcher(matcher, alerts)
    for label in rule.each("equal"):
        yield from _label(label, label.text, alerts)
    targets = list(rule.each("target_matchers"))
    if alerts.watchdog and targets and all(_matches(target.text, alerts.watchdog) for target in targets):
        yield _problem(
            targets[0], f"holds back {_WATCHDOG}, whose silence calls people; except it by its alertname"
        )


def _matcher(where: Located, alerts: _Alerts) -> Iterator[Problem]:
    parts = _MATCHER.fullmatch(where.text)
    if parts is None:
        yield _problem(where, f'{where.text} is no matcher such as severity = "critical"')
        return
    label, operator, wanted = parts.groups()
    yield from _label(where, label, alerts)
    known = alerts.values.get(label)
    for value in _alternatives(wanted) if "~" in operator else (wanted,):
        if known is not None and not any(_equal(operator, value, name) for name in known):
            yield _problem(where, f"no alert has the {label} {value}; correct it, or remove it here")


def _only_deleted(matcher: str, alerts: _Alerts) -> bool:
    """Return whether a matcher names alerts that the project deleted, and no other: not even a misspelt one."""
    parts = _MATCHER.fullmatch(matcher)
    if parts is None or parts[1] != "alertname" or parts[2].startswith("!"):
        return False
    _, operator, wanted = parts.groups()
    if any(_equal(operator, wanted, name) for name in alerts.values.get("alertname", ())):
        return False
    return all(
        any(_equal(operator, value, name) for name in alerts.deleted)
        for value in (_alternatives(wanted) if "~" in operator else (wanted,))
    )


def _label(where: Located, label: str, alerts: _Alerts) -> Iterator[Problem]:
    if label not in alerts.labels and label != "...":
        yield _problem(where, f"no alert has a label {label}; they have {', '.join(sorted(alerts.labels))}")


def _matches(matcher: str, labels: Mapping[str, str]) -> bool:
    parts = _MATCHER.fullmatch(matcher)
    if parts is None:
        return False
    label, operator, wanted = parts.groups()
    return _equal(operator, wanted, labels.get(label, "")) is not operator.startswith("!")


def _alternatives(expression: str) -> list[str]:
    return [expression] if "(" in expression else expression.split("|")


def _equal(operator: str, wanted: str, value: str) -> bool:
    if "~" not in operator:
        return wanted == value
    try:
        return re.fullmatch(wanted, value) is not None
    except re.error:
        return False


def _templates(files: StackFiles, document: Located) -> Iterator[Problem]:
    paths = [
        path for pattern in document.each("templates") for path in sorted(files.monitoring.glob(pattern.text))
    ]
    defined = {name for path in paths for name in _DEFINED.findall(path.read_text("utf-8"))}
    for path in (files.alertmanager, *paths):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            for name in _CALLED.findall(line.partition("#")[0] if path == files.alertmanager else line):
                if name not in defined and not _BUILT_IN.fullmatch(name):
                    yield Problem(path, number, f"there is no template {name}: nothing would be sent")


def _secrets(files: StackFiles, document: Located) -> Iterator[Problem]:
    """Compare the secrets that the configuration names with those that its container gets."""
    if not files.compose.is_file():
        return
    service = read_located(files.compose).get("services", "alertmanager")
    given = {secret.text for secret in service.each("secrets")} if service is not None else None
    for where in _texts(document):
        name = where.text.removeprefix(_SECRETS)
        if given is not None and name != where.text and name not in given:
            yield _problem(where, f"the container of Alertmanager gets no secret {name}")


def _texts(part: Located) -> Iterator[Located]:
    if isinstance(part.value, list):
        for entry in part.value:
            yield from _texts(entry)
    elif isinstance(part.value, Mapping):
        for entry in part.value.values():
            yield from _texts(entry)
    else:
        yield part


def _problem(where: Located, message: str) -> Problem:
    return Problem(where.path, where.line, message)
