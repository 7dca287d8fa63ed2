"""Sagas: does work in steps come to an end, and is what was begun undone where it does not?"""

from __future__ import annotations

from botmetry.stack.dashboards.alert_line import line_of
from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.panels import Panel, Query, Story, heat, lines, number
from botmetry.stack.dashboards.query import buckets, level, m, quantile, rate, ratio
from botmetry.stack.rulebook import Rulebook

__all__ = ["sagas"]

_FAILED = "error|timeout"
_STANDING_STILL = "suspended|compensation_failed"
_CHOSEN = {"saga": "$saga"}

# Where the log and the traces tell more.
_SAGAS = Story("saga.finished", "", "saga")
_STEPS = Story("saga.step_finished", "saga.step", "step")
_FAILED_STEPS = Story("saga.step_finished", "saga.step", "step", failed=True)
_UNDOING = Story("saga.compensation_finished", "saga.compensation", "step")
_NOT_UNDONE = Story("saga.compensation_finished", "saga.compensation", "step", failed=True)
_LOST = Story("saga.ownership_lost", "", "saga")
_SUSPENDED = Story("saga.suspended", "", "saga")
_STRANGERS = Story("saga.release_unregistered", "", "saga")


def sagas(rules: Rulebook) -> Board:
    """Build the dashboard."""
    return (
        Board(
            "botmetry-sagas",
            "Sagas",
            "Does work in steps come to an end, and is it undone where it does not?",
            "saga",
        )
        .choose("saga", "Saga", f'label_values({m.saga_started_total.name}{{service=~"$service"}}, saga)')
        .row(
            "Is it fine?",
            standing_still(rules),
            overdue(rules),
            not_undone(rules),
            failed_share(),
            under_way(),
            ended(),
            completed_share(),
            slowest_step(),
        )
        .row(
            "From start to end",
            balance(),
            outcomes(),
            in_progress(rules),
            states(),
            waits_for_an_owner(rules),
            ownership_lost(),
        )
        .row("Steps", step_outcomes(), failed_steps(), step_times(), step_time_spread())
        .row("Undoing", compensations(), failed_compensations(rules))
    )


def standing_still(rules: Rulebook) -> Panel:
    query = Query(f"sum({level(m.saga_size, 'saga', 'state', state=_STANDING_STILL, **_CHOSEN)})")
    says = "Sagas that wait for a person: they can go neither on nor back."
    line = line_of(rules, "SagaStandsStill")
    return number("Standing still", says, "short", query, line=line, width=6)


def overdue(rules: Rulebook) -> Panel:
    query = Query(level(m.saga_overdue_seconds, **_CHOSEN))
    says = "How long the most overdue saga has waited for a process that takes it up."
    line = line_of(rules, "SagaNotTakenUp")
    return number("Most overdue", says, "s", query, line=line, width=6)


def not_undone(rules: Rulebook) -> Panel:
    query = Query(rate(m.saga_compensations_total, outcome="error|timeout|cancelled", **_CHOSEN))
    says = "Attempts to undo a step that failed, a second. Any leaves the world half changed."
    line = line_of(rules, "SagaCompensationFailed")
    return number("Not undone", says, "ops", query, line=line, empty="0", width=6)


def failed_share() -> Panel:
    finished = m.saga_finished_total
    share = ratio(rate(finished, outcome="failed", **_CHOSEN), rate(finished, **_CHOSEN))
    says = "Share of sagas that ended neither completed nor undone."
    return number("Failed", says, "percentunit", Query(share), width=6)


def under_way() -> Panel:
    query = Query(level(m.saga_in_progress, **_CHOSEN))
    says = "Sagas that a living process works on."
    return number("Under way", says, "short", query, empty="0", width=6)


def ended() -> Panel:
    query = Query(rate(m.saga_finished_total, **_CHOSEN))
    return number("Ended", "Sagas that ended, whichever way, a second.", "ops", query, empty="0", width=6)


def completed_share() -> Panel:
    finished = m.saga_finished_total
    share = ratio(rate(finished, outcome="completed", **_CHOSEN), rate(finished, **_CHOSEN))
    says = "Share of sagas that did all of their steps; the others were undone or failed."
    return number("Completed", says, "percentunit", Query(share), width=6)


def slowest_step() -> Panel:
    query = Query(f"max({quantile(0.95, m.saga_step_duration_seconds, 'saga', 'step', **_CHOSEN)})")
    return number("Slowest step p95", "Of the step that takes longest.", "s", query, width=6)


def balance() -> Panel:
    return lines(
        "Started and ended",
        "Two lines that part are sagas that hang, or that died with their process and wait to be resumed.",
        "ops",
        Query(rate(m.saga_started_total, "saga", **_CHOSEN), "{{saga}} started"),
        Query(rate(m.saga_finished_total, "saga", **_CHOSEN), "{{saga}} ended"),
        story=_SAGAS,
    )


def outcomes() -> Panel:
    query = Query(rate(m.saga_finished_total, "saga", "outcome", **_CHOSEN), "{{saga}} {{outcome}}")
    says = "Completed: all steps done. Aborted: all undone. Failed: undone in part."
    return lines("How they ended", says, "ops", query, story=_SAGAS)


def in_progress(rules: Rulebook) -> Panel:
    query = Query(level(m.saga_in_progress, "saga", **_CHOSEN), "{{saga}}")
    says = "A floor that never goes back to 0 on a quiet day is a saga that hangs."
    line = line_of(rules, "SagaNotFinishing")
    return lines("In progress", says, "short", query, line=line, story=_SAGAS)


def states() -> Panel:
    query = Query(level(m.saga_size, "saga", "state", **_CHOSEN), "{{saga}} {{state}}")
    says = "Those not over, as Redis has them. Every watcher sees the same, so the largest is shown, not the sum."
    return lines("Sagas by state", says, "short", query, story=_SUSPENDED)


def waits_for_an_owner(rules: Rulebook) -> Panel:
    query = Query(level(m.saga_overdue_seconds, "saga", **_CHOSEN), "{{saga}}")
    says = "A straight climb: nobody recovers, or no process has the steps that the saga was begun with."
    line = line_of(rules, "SagaNotTakenUp")
    return lines("Wait for an owner", says, "s", query, line=line, story=_STRANGERS)


def ownership_lost() -> Panel:
    query = Query(rate(m.saga_ownership_lost_total, "saga", **_CHOSEN), "{{saga}}")
    says = "Sagas taken over from a process that lives, but was slower than its lease. It can write nothing more."
    return lines("Ownership lost", says, "ops", query, story=_LOST)


def step_outcomes() -> Panel:
    query = Query(
        rate(m.saga_steps_total, "saga", "step", "outcome", **_CHOSEN), "{{saga}} {{step}} {{outcome}}"
    )
    return lines("Steps", "Attempts a second by outcome.", "ops", query, story=_STEPS)


def failed_steps() -> Panel:
    steps = m.saga_steps_total
    share = ratio(
        rate(steps, "saga", "step", outcome=_FAILED, **_CHOSEN), rate(steps, "saga", "step", **_CHOSEN)
    )
    says = "Share of the attempts at each step that ended in an error or a timeout."
    return lines(
        "Failed by step", says, "percentunit", Query(share, "{{saga}} {{step}}"), top=1, story=_FAILED_STEPS
    )


def step_times() -> Panel:
    query = Query(
        quantile(0.95, m.saga_step_duration_seconds, "saga", "step", **_CHOSEN), "{{saga}} {{step}} p95"
    )
    says = "95 of 100 attempts at a step take less. A dot is one traced step."
    return lines("Step time", says, "s", query, story=_STEPS)


def step_time_spread() -> Panel:
    query = Query(buckets(m.saga_step_duration_seconds, **_CHOSEN))
    return heat("Spread of step times", "How many attempts took how long.", "s", query, story=_STEPS)


def compensations() -> Panel:
    query = Query(
        rate(m.saga_compensations_total, "saga", "step", "outcome", **_CHOSEN),
        "{{saga}} {{step}} {{outcome}}",
    )
    says = "Attempts to undo a step, a second. Where sagas abort, these go up, which is as it should be."
    return lines("Compensations", says, "ops", query, width=12, story=_UNDOING)


def failed_compensations(rules: Rulebook) -> Panel:
    query = Query(
        rate(m.saga_compensations_total, "saga", "step", outcome="error|timeout|cancelled", **_CHOSEN),
        "{{saga}} {{step}}",
    )
    says = "What each of them did is still there, until a person mends it."
    line = line_of(rules, "SagaCompensationFailed")
    return lines("Failed compensations", says, "ops", query, line=line, width=12, story=_NOT_UNDONE)
