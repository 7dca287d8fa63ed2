"""The rules of the service levels: what is recorded about each, and when its error budget burns too fast.

Burn rate 1 spends exactly the error budget (1 - objective) of the window; an alert asks for a rate over a long range,
so that little things wake nobody, and over a short one too, so that it ends soon after the trouble. Factors and ranges
are those of the Google SRE workbook, chapter 5, table 5-8.

Why 5-minute rates may be averaged: the bad share of a day is the day's bad events over all its events, not the
mean of 288 shares, in which a quiet night would weigh as much as the day. So the share is never averaged. Events a
second are: each recorded value is the mean over its 5 minutes, values come in equal steps, and the mean of means over
equally long spans is the mean over all of it. Both rates are recorded in the same moments (no bad event is 0, not
nothing), so that gaps, where Prometheus or the target was away, fall out of both. What is left is that the range's two
ends fade over 5 minutes, the same way above and below the line. It is cheap: a day of one recorded series is 1,440
samples, however many series are behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from botmetry.stack.series import Series, recorded
from botmetry.stack.slo import FASTEST, LONGEST, ServiceLevel, ServiceLevels

__all__ = [
    "BAD",
    "BUDGET_LEFT",
    "BURN",
    "BURNS",
    "EVENTS",
    "OBJECTIVE",
    "RECORDED",
    "Burn",
    "render_service_levels",
]

_LABELS = ("service", "slo")

EVENTS = recorded("service_slo:slo_events:rate5m", _LABELS)
"""What counts, a second."""
BAD = recorded("service_slo:slo_bad_events:rate5m", _LABELS)
"""What of it went wrong, a second."""
BUDGET_LEFT = recorded("service_slo:slo_budget_left:ratio", _LABELS)
"""What of the window's error budget is left: 1 all of it, 0 none, below 0 the promise is broken."""
OBJECTIVE = recorded("slo:slo_objective:ratio", ("slo",))
"""The share that has to be good."""
MINIMUM = recorded("slo:slo_minimum:rate", ("slo",))
"""Events a second below which no alert fires."""
BURN = {
    span: recorded(f"service_slo:slo_burn:rate{span}", _LABELS)
    for span in ("5m", "30m", "1h", "2h", "6h", "1d", LONGEST)
}
"""Burn rates by the range that they look at."""

RECORDED: tuple[Series, ...] = (EVENTS, BAD, OBJECTIVE, MINIMUM, *BURN.values(), BUDGET_LEFT)
"""Every series that the rules make."""


@dataclass(frozen=True, slots=True)
class Burn:
    """One alert.

    Attributes:
        alert: Its name.
        factor: The burn rate above which it fires.
        long: The range that decides.
        short: The range in which it still has to go on.
        severity: Critical wakes somebody, warning is read today.
        hold: How long both have to last. Short: the long range has waited enough.
        keep: How long it stays, so that a rate that swings around the factor is one message.
        says: The long range in words.
    """

    alert: str
    factor: float
    long: str
    short: str
    severity: str
    hold: str
    keep: str
    says: str


BURNS = (
    Burn("ErrorBudgetBurn1h", FASTEST, "1h", "5m", "critical", "2m", "5m", "hour"),
    Burn("ErrorBudgetBurn6h", 6, "6h", "30m", "critical", "5m", "15m", "6 hours"),
    Burn("ErrorBudgetBurn1d", 3, "1d", "2h", "warning", "15m", "30m", "day"),
    Burn("ErrorBudgetBurn3d", 1, LONGEST, "6h", "warning", "30m", "1h", "3 days"),
)
"""The alerts, fastest first."""

_HEAD = """\
# Generated from slo.yml by `botmetry render`: change that file, not this one.
#
# Events are recorded as 5-minute rates and averaged over the long ranges, above and below the line of each share:
# exact, unlike the mean of shares, in which a quiet night weighs as much as the day
# (the argument stands in botmetry/stack/slo_rules.py).
# All service levels share the rules from the burn rates on; the label `slo` tells them apart.

"""


def render_service_levels(levels: ServiceLevels) -> str:
    """Return the rule file, the same at every call."""
    rules = [rule for level in levels.levels for rule in _level(level)]
    rules += [_burn(span) for span in BURN]
    rules += [_alert(burn, levels.grafana_url) for burn in BURNS]
    # One group, evaluated from top to bottom: an alert sees what was recorded a moment ago. Every minute is often
    # enough for ranges of 5 minutes and more, and makes a 30-day range 43,200 samples.
    document = {"groups": [{"name": "service-levels", "interval": "1m", "rules": rules}]}
    return _HEAD + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _level(level: ServiceLevel) -> Iterator[dict[str, Any]]:
    labels = {"slo": level.name}
    chosen = f'{{slo="{level.name}"}}[{level.window}]'
    for series, expr in (
        (EVENTS, level.total),
        (BAD, level.bad),
        (OBJECTIVE, f"vector({level.objective:.12g})"),
        (MINIMUM, f"vector({level.minimum_rate:.12g})"),
    ):
        yield {"record": series.name, "expr": expr, "labels": labels}
    # Before a whole window has passed: of what there is.
    burnt = _burnt(f"avg_over_time({BAD.name}{chosen})", f"avg_over_time({EVENTS.name}{chosen})")
    # The label is there already; promtool takes rules of one name for the same without it.
    yield {"record": BUDGET_LEFT.name, "expr": f"1\n- {burnt}", "labels": labels}


def _burn(span: str) -> dict[str, Any]:
    if span == "5m":
        return {"record": BURN[span].name, "expr": _burnt(BAD.name, EVENTS.name)}
    bad, events = (f"avg_over_time({series.name}[{span}])" for series in (BAD, EVENTS))
    return {"record": BURN[span].name, "expr": _burnt(bad, events)}


def _burnt(bad: str, events: str) -> str:
    return f"{bad}\n/ ({events} > 0)\n/ on (slo) group_left () (1 - {OBJECTIVE.name})"


def _alert(burn: Burn, grafana_url: str) -> dict[str, Any]:
    return {
        "alert": burn.alert,
        "expr": (
            f"{BURN[burn.long].name} > {burn.factor:g}\n"
            f"and {BURN[burn.short].name} > {burn.factor:g}\n"
            f"and avg_over_time({EVENTS.name}[{burn.long}]) >= on (slo) group_left () {MINIMUM.name}"
        ),
        "for": burn.hold,
        "keep_firing_for": burn.keep,
        # A part of its own: it holds back slower burns, not the alerts that say why.
        "labels": {"severity": burn.severity, "component": "service-level"},
        "annotations": {
            "summary": f"Service level {{{{ $labels.slo }}}} burns its error budget {_speed(burn)}",
            "description": _description(burn),
            "runbook_url": f"{{{{ $externalURL }}}}/user/{burn.alert}.md",
            "dashboard_url": f"{grafana_url}/d/botmetry-slo"
            "?var-service={{ $labels.service }}&var-slo={{ $labels.slo }}",
        },
    }


def _speed(burn: Burn) -> str:
    return "fast" if burn.severity == "critical" else "slowly"


def _description(burn: Burn) -> str:
    # `query` in a template is evaluated when the alert is; the burn rate times the budget is the bad share again.
    share = f"\"%f * (1 - {OBJECTIVE.name}{{slo='%s'}})\" $value $labels.slo"
    left = f"\"{BUDGET_LEFT.name}{{service='%s',slo='%s'}}\" $labels.service $labels.slo"
    return (
        f"{_asked(share, _PERCENT)} of what {{{{ $labels.slo }}}} counts in {{{{ $labels.service }}}} went wrong in "
        f"the last {burn.says}, {{{{ $value | humanize }}}} times what the objective allows (limit {burn.factor:g}). "
        f"Error budget left: {_asked(left, _LEFT)}."
    )


_PERCENT = "{{ . | first | value | humanizePercentage }}"
# Broken by how much is on the dashboard: -1990 % helps nobody at night.
_LEFT = f"{{{{ if lt (. | first | value) 0.0 }}}}none{{{{ else }}}}{_PERCENT}{{{{ end }}}}"


def _asked(query: str, shown: str) -> str:
    return f"{{{{ with printf {query} | query }}}}{shown}{{{{ else }}}}unknown{{{{ end }}}}"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and lists indented as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow=flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - yaml's own signature
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
