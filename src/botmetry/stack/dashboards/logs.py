"""Logs: the queries people need, ready to click."""

from __future__ import annotations

from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.panels import Panel, Query, lines, log_lines, log_rates
from botmetry.stack.dashboards.query import m, rate
from botmetry.stack.rulebook import Rulebook

__all__ = ["logs"]

_CHOSEN = 'job="midas", service=~"$service"'
_ERRORS = f'{_CHOSEN}, level=~"error|critical"'
_SLOW_SECONDS = 5


def logs(rules: Rulebook) -> Board:
    """Build the dashboard."""
    del rules  # Loki's own alerts stand in monitoring/loki-rules.
    return (
        Board("botmetry-logs", "Logs", "What did the programs say, about whom, and in which trace?", "logs")
        .with_logs()
        .ask("trace_id", "Trace", ".*")
        .ask("user_id", "User", ".*")
        .ask("search", "Contains", "")
        .row("How much", volume(), error_events(), records())
        .row("Errors", errors())
        .row("One trace, one user: set the fields above", story())
        .row("AI", slow_ai(), corrections(), folded=True)
        .row("Crashes", crashes(), folded=True)
    )


def volume() -> Panel:
    query = Query(
        f"sum by (service, level) (count_over_time({{{_CHOSEN}}} [$__auto]))", "{{service}} {{level}}"
    )
    return log_rates("Lines", "Lines by service and level.", "short", query, width=8)


def error_events() -> Panel:
    query = Query(f"sum by (event) (count_over_time({{{_ERRORS}}} [$__auto]))", "{{event}}")
    return log_rates("Errors by event", "What goes wrong most.", "short", query, width=8)


def records() -> Panel:
    query = Query(rate(m.log_records_total, "service", "level"), "{{service}} {{level}}")
    return lines(
        "Records counted at the source", "More here than in Lines: the way to Loki loses some.", "ops", query
    )


def errors() -> Panel:
    return log_lines(
        "Errors", "Every error, newest first. Open one: its trace is a click away.", f"{{{_ERRORS}}}"
    )


def story() -> Panel:
    chosen = '| trace_id=~"$trace_id" | user_id=~"$user_id" |= "$search"'
    says = "All services together, in order: the bot's part, then the worker's."
    return log_lines("Story", says, f"{{{_CHOSEN}}} {chosen}", height=14)


def slow_ai() -> Panel:
    slow = f'json duration_seconds="duration_seconds" | duration_seconds > {_SLOW_SECONDS}'
    says = f"AI tasks that took longer than {_SLOW_SECONDS} s."
    return log_lines("Slow AI tasks", says, f'{{{_CHOSEN}}} | event="ai.task_finished" | {slow}')


def corrections() -> Panel:
    says = "What the AI said and what the user made of it."
    return log_lines("Corrections", says, f'{{{_CHOSEN}}} | event=~"ai.*corrected|confirmation.*corrected"')


def crashes() -> Panel:
    says = "What a process said outside its log, above all the traceback that ended it."
    return log_lines("Crashes", says, '{job="midas", stream="stderr", service=~"$service"}')
