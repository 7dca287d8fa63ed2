"""The saved log queries as a page for people: `monitoring/LOGS.md`."""

from __future__ import annotations

from collections.abc import Iterator

from botmetry.stack.log_queries import LOG_QUERIES, VARIABLES, LogQuery

__all__ = ["render_log_page"]

_HEAD = """\
# Asking the logs

<!-- Made by `botmetry render` from src/botmetry/stack/log_queries.py: change it there. -->

The Logs dashboard (<http://localhost:3000/d/botmetry-logs>) asks all of these. To ask by yourself: Grafana's
*Explore* with the data source Loki, or

```sh
curl -sG http://localhost:3100/loki/api/v1/query_range --data-urlencode 'query={job="midas"} | trace_id="…"'
```

**Streams** are chosen in braces: by `job`, `service`, `level`, and by `stream="stderr"` for what a process says
outside its log. **Structured metadata** follows behind a `|`, without a parser: `trace_id`, `span_id`, `user_id`,
`task_id`, `task_type`, `command`, `event`, `outcome`. Any other field of the line needs `| json`, which takes every
line apart that is left by then: put it last.

What to put in for the variables:
"""

_TAIL = """\

## Logs over OTLP

A program that has an OpenTelemetry logger and no log file sends to Alloy (ports 4317 and 4318, profile `alloy`). Alloy
gives its records the labels that the files have (`job`, `service`, `level`), and Loki keeps their attributes as
structured metadata with dots turned into underscores, so that every query above finds them. `user.id` and
`event.name` become `user_id` and `event`.

Loki takes OTLP itself, too, at `http://localhost:3100/otlp/v1/logs`. Records that come this way bear the label
`service_name`, and `job`, `service` and `level` only where the sender set them as resource attributes: without those
the dashboard does not show them.

Choose one way a program: sent both ways, each line is there twice.
"""


def render_log_page() -> str:
    """Return the page's Markdown."""
    return "\n".join(_lines()) + _TAIL


def _lines() -> Iterator[str]:
    yield _HEAD
    for name, says in VARIABLES.items():
        yield f"- `${name}`: {says}"
    for query in LOG_QUERIES:
        yield from ("", *_query(query))
    yield ""


def _query(query: LogQuery) -> Iterator[str]:
    yield f"## {query.title}"
    yield ""
    yield query.says
    yield ""
    yield "```logql"
    yield query.expr.replace("$__auto", "5m")
    yield "```"
