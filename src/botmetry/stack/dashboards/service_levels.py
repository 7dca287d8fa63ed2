"""Service Levels: are the promises to users kept, and how long at this rate?"""

from __future__ import annotations

from botmetry.stack.dashboards.alert_line import line_of
from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.panels import Panel, Query, lines, number, rows
from botmetry.stack.rulebook import Rulebook
from botmetry.stack.series import Series
from botmetry.stack.slo_rules import BAD, BUDGET_LEFT, BURN, BURNS, EVENTS, OBJECTIVE, Burn

__all__ = ["service_levels"]

_CHOSEN = '{service=~"$service",slo=~"$slo"}'
_NAMES = "{{service}} {{slo}}"


def service_levels(rules: Rulebook) -> Board:
    """Build the dashboard."""
    return (
        Board(
            "botmetry-slo",
            "Service Levels",
            "Are the promises to users kept, and for how long at this rate?",
            "slo",
        )
        .choose("slo", "Service level", f'label_values({EVENTS.name}{{service=~"$service"}}, slo)')
        .row("Is it fine?", broken(), least_left(), *(fastest(rules, burn) for burn in BURNS))
        .row("Error budget over the window", spent(), left())
        .row("Burn rates and where their alerts begin", *(burning(rules, burn) for burn in BURNS))
        .row("Indicators", good(), counted(), went_wrong())
    )


def broken() -> Panel:
    expr = f"count({BUDGET_LEFT.name}{_CHOSEN} < 0)"
    says = "Service levels that spent more than their error budget, over the window each is promised for."
    return number("Promises broken", says, "short", Query(expr), empty="0")


def least_left() -> Panel:
    says = "Of the service level that is nearest to its end; below 0 it is missed."
    return number("Least budget left", says, "percentunit", Query(_each(BUDGET_LEFT, over="min")))


def fastest(rules: Rulebook, burn: Burn) -> Panel:
    says = f"The fastest burn rate over {burn.long}; 1 spends exactly the budget of the window."
    query = Query(_each(BURN[burn.long]))
    return number(f"Burn rate {burn.long}", says, "short", query, line=line_of(rules, burn.alert))


def spent() -> Panel:
    expr = f"1 - {_each(BUDGET_LEFT, 'service', 'slo', over='min')}"
    says = (
        "Share of the window's error budget that is gone; above 100 % the promise is broken. It falls when bad "
        "hours leave the window. While the store is younger than the window: of what there is."
    )
    return lines("Error budget spent", says, "percentunit", Query(expr, _NAMES), width=14)


def left() -> Panel:
    says = "What each service level may still spend."
    query = Query(_each(BUDGET_LEFT, "service", "slo", over="min"))
    return rows("Error budget left", says, "percentunit", query, width=10)


def burning(rules: Rulebook, burn: Burn) -> Panel:
    queries = [
        Query(_each(BURN[span], "service", "slo"), f"{_NAMES} {span}") for span in (burn.long, burn.short)
    ]
    says = f"The alert fires while both, over {burn.long} and over {burn.short}, are above the line."
    title = f"Burn over {burn.long} and {burn.short}"
    return lines(title, says, "short", *queries, line=line_of(rules, burn.alert), width=12)


def good() -> Panel:
    share = f"1 - {_each(BAD, 'service', 'slo')} / ({_each(EVENTS, 'service', 'slo')} > 0)"
    promised = f'max by (slo) ({OBJECTIVE.name}{{slo=~"$slo"}}) and on (slo) {EVENTS.name}{_CHOSEN}'
    says = "Share of events in 5 minutes that were good, beside what is promised."
    queries = (Query(share, _NAMES), Query(promised, "{{slo}} promised"))
    return lines("Good", says, "percentunit", *queries, top=1)


def counted() -> Panel:
    says = "Events a second that count; below its minimum rate a service level wakes nobody."
    return lines("Events", says, "ops", Query(_each(EVENTS, "service", "slo"), _NAMES))


def went_wrong() -> Panel:
    says = "Events a second that went wrong: what spends the budget."
    return lines("Bad events", says, "ops", Query(_each(BAD, "service", "slo"), _NAMES), logs=True)


def _each(series: Series, *by: str, over: str = "max") -> str:
    # Two replicas of Prometheus record the same: one of them is enough.
    labels = f" by ({', '.join(by)}) " if by else ""
    return f"{over}{labels}({series.name}{_CHOSEN})"
