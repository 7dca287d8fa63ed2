"""The questions that people put to the logs, each in LogQL, in one place.

The Logs dashboard draws them, `monitoring/LOGS.md` lists them, and the tests ask a real Loki each of them. Streams are
chosen by `job`, `service` and `level`; everything else is structured metadata, which needs no parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from botmetry.errors import StackError

__all__ = ["ANYTHING", "LOG_QUERIES", "VARIABLES", "LogQuery", "log_query"]

ANYTHING: Mapping[str, str] = {
    "service": ".+",
    "trace_id": ".*",
    "user_id": ".*",
    "task_id": ".*",
    "search": "",
}
"""What each variable stands for as long as nobody has filled it in."""

VARIABLES: Mapping[str, str] = {
    "service": "the program, or `.+`",
    "trace_id": "32 hexadecimal digits: from a line, an exemplar or a trace",
    "user_id": "as it stands in the lines: a number, or its keyed hash where ids are hashed",
    "task_id": "from a line of the queue",
    "search": "a piece of text",
}
"""What a person puts in for each variable."""

_WINDOW = "$__auto"
_VARIABLE = re.compile(r"\$(\w+)")

_CHOSEN = '{job="midas", service=~"$service"}'
_ERRORS = '{job="midas", service=~"$service", level=~"error|critical"}'
_CRASHES = '{job="midas", service=~"$service", stream="stderr"}'

# Half of the 10 s at which AISlowProcessing begins: what is slow, seen before it is an alert.
_SLOW_SECONDS = 5


@dataclass(frozen=True, slots=True)
class LogQuery:
    """One question.

    Attributes:
        name: Short and unique.
        title: As a panel or a heading.
        says: One sentence: what the answer shows.
        expr: LogQL with `$variables`; windows are written `[$__auto]`, as Grafana wants them.
        legend: Grafana's template for the lines of a count; empty when the answer is log lines.
    """

    name: str
    title: str
    says: str
    expr: str
    legend: str = ""

    @property
    def counts(self) -> bool:
        """Whether the answer is numbers over time rather than log lines."""
        return bool(self.legend)

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that a person fills in, in the order in which they stand."""
        names = dict.fromkeys(_VARIABLE.findall(self.expr))
        return tuple(name for name in names if f"${name}" != _WINDOW)

    def filled(self, *, window: str = "5m", **values: str) -> str:
        """Return LogQL that Loki takes: `values` put in, anything for the others, `window` for Grafana's own.

        Raises:
            StackError: The query has no such variable.
        """
        for name in values:
            if name not in self.variables:
                raise StackError(f"{self.name} has no variable {name}; it has {', '.join(self.variables)}")
        known = {**ANYTHING, **values}
        text = self.expr.replace(_WINDOW, window)
        return _VARIABLE.sub(lambda match: _quoted(known[match[1]]), text)


LOG_QUERIES: tuple[LogQuery, ...] = (
    LogQuery(
        "volume",
        "Lines",
        "Lines by service and level.",
        f"sum by (service, level) (count_over_time({_CHOSEN} [{_WINDOW}]))",
        "{{service}} {{level}}",
    ),
    LogQuery(
        "error-events",
        "Errors by event",
        "What goes wrong most.",
        f"sum by (event) (count_over_time({_ERRORS} [{_WINDOW}]))",
        "{{event}}",
    ),
    LogQuery(
        "errors",
        "Errors",
        "Every error, newest first. Open one: its trace is a click away.",
        _ERRORS,
    ),
    LogQuery(
        "errors-of-a-user",
        "Errors of a user",
        "What went wrong for the user in the field above, in every program.",
        f'{_ERRORS} | user_id=~"$user_id"',
    ),
    LogQuery(
        "story",
        "Story",
        "One trace, user or task across all services, in order: the bot's part, then the worker's.",
        f'{_CHOSEN} | trace_id=~"$trace_id" | user_id=~"$user_id" | task_id=~"$task_id" |= "$search"',
    ),
    LogQuery(
        "failed-commands",
        "Commands that failed",
        "Who asked for what, and what came of it; the traceback is in the line's field exception.",
        f'{_CHOSEN} | event="bot.request_handled" | outcome=~"error|timeout"',
    ),
    LogQuery(
        "failed-tasks",
        "Tasks that failed",
        "Runs of background tasks that ended in an error or past their time, and tasks that were given up.",
        f'{_CHOSEN} | event="queue.task_dead_lettered" or event="queue.task_finished" '
        '| event="queue.task_dead_lettered" or outcome=~"error|timeout"',
    ),
    LogQuery(
        "slow-ai",
        "Slow AI tasks",
        f"AI tasks, and the model calls in them, that took longer than {_SLOW_SECONDS} s.",
        f'{_CHOSEN} | event=~"ai.task_finished|ai.inference_finished" '
        f'| json duration_seconds="duration_seconds" | duration_seconds > {_SLOW_SECONDS}',
    ),
    LogQuery(
        "corrections",
        "Corrections",
        "What the AI said and what the user made of it: fields predicted and corrected.",
        f'{_CHOSEN} | event="ai.corrected"',
    ),
    LogQuery(
        "crashes",
        "Crashes",
        "What a process said outside its log, above all the traceback that ended it.",
        _CRASHES,
    ),
)
"""Every saved query, in the order of the dashboard."""


def log_query(name: str) -> LogQuery:
    """Return the saved query of that name.

    Raises:
        StackError: There is none.
    """
    found = next((query for query in LOG_QUERIES if query.name == name), None)
    if found is None:
        raise StackError(
            f"there is no log query {name}; there are {', '.join(query.name for query in LOG_QUERIES)}"
        )
    return found


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
