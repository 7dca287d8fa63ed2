"""Logs: the queries people need, ready to click."""

from __future__ import annotations

from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.panels import Panel, Query, lines, log_lines, log_rates
from botmetry.stack.dashboards.query import m, rate
from botmetry.stack.log_queries import ANYTHING, log_query
from botmetry.stack.rulebook import Rulebook

__all__ = ["logs"]


def logs(rules: Rulebook) -> Board:
    """Build the dashboard."""
    del rules  # Loki's own alerts stand in monitoring/loki-rules.
    return (
        Board("botmetry-logs", "Logs", "What did the programs say, about whom, and in which trace?", "logs")
        .with_logs()
        .ask("trace_id", "Trace", ANYTHING["trace_id"])
        .ask("user_id", "User", ANYTHING["user_id"])
        .ask("task_id", "Task", ANYTHING["task_id"])
        .ask("search", "Contains", ANYTHING["search"])
        .row("Is it fine?", counted("volume"), counted("error-events"), records())
        .row("Errors", said("errors"))
        .row("One trace, user or task: set the fields above", said("story", height=14))
        .row(
            "What failed",
            said("errors-of-a-user"),
            said("failed-commands"),
            said("failed-tasks"),
            folded=True,
        )
        .row("AI", said("slow-ai"), said("corrections"), folded=True)
        .row("Crashes", said("crashes"), folded=True)
    )


def counted(name: str) -> Panel:
    query = log_query(name)
    return log_rates(query.title, query.says, "short", Query(query.expr, query.legend), width=8)


def said(name: str, *, height: int = 10) -> Panel:
    query = log_query(name)
    return log_lines(query.title, query.says, query.expr, height=height)


def records() -> Panel:
    query = Query(rate(m.log_records_total, "service", "level"), "{{service}} {{level}}")
    return lines(
        "Records counted at the source", "More here than in Lines: the way to Loki loses some.", "ops", query
    )
