"""The sizes of a stack as a page for people: `monitoring/SIZING.md`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields

from botmetry.metrics import CATALOGUE, FAMILIES, MetricSpec
from botmetry.stack.sizing import (
    KEEPS,
    PROGRAMS,
    REASONS,
    ROLES,
    VALUES,
    Assumptions,
    Need,
    children,
    marginal,
    need,
    role_series,
    series,
)

__all__ = ["render_sizing_page"]

_HEAD = """\
# How much it takes

<!-- Made by `botmetry render` from the metric catalogue and src/botmetry/stack/sizing.py: change it there. -->

These are computed numbers, not measurements. What is counted comes from the catalogue; what cannot be counted is an
assumption that stands in the last table with its source or argument. Put your own numbers in:

```python
from botmetry.stack.sizing import Assumptions, need

print(need(50_000, scaled=False, assumed=Assumptions(commands_a_day=20, ai_seconds=4)))
```
"""

_LABELS = (
    ("command", "command of the bot"),
    ("task", "AI task or task of a queue"),
    ("model", "model"),
    ("queue", "queue"),
    ("table", "table"),
    ("saga", "saga"),
)

_BIGGEST = 8


def render_sizing_page(catalogue: Iterable[MetricSpec] = tuple(CATALOGUE.values())) -> str:
    """Return the page's Markdown."""
    return "\n".join(_lines(tuple(catalogue))) + "\n"


def _lines(catalogue: tuple[MetricSpec, ...]) -> Iterator[str]:
    yield _HEAD
    yield from _users(catalogue)
    yield from _processes(catalogue)
    yield from _metrics(catalogue)
    yield from _assumptions()


def _users(catalogue: tuple[MetricSpec, ...]) -> Iterator[str]:
    small = need(1_000, scaled=False, catalogue=catalogue)
    large = need(1_000_000, scaled=True, catalogue=catalogue)
    yield "## For 1,000 and for 1,000,000 users a month"
    yield ""
    yield "| | 1,000 on one machine | 1,000,000 past one machine |"
    yield "|---|---:|---:|"
    yield "| compose file | `docker-compose.monitoring.yml` | `docker-compose.scale.yml` |"
    for name, cell in _CELLS:
        yield f"| {name} | {cell(small)} | {cell(large)} |"
    (short, long), (few, many) = KEEPS["metrics"], KEEPS["logs"]
    yield ""
    yield (
        f"Samples are kept {short} days on one machine and {long} in Mimir, lines {few} and {many} days. "
        "Traces are not counted:"
    )
    yield "sample them, and Tempo forgets them after three days."
    yield ""
    yield (
        "Users cost lines and processes, never series: no id is a label. A thousand times the users are therefore "
        f"{large.series / small.series:.0f} times"
    )
    yield f"the series and {large.lines / small.lines:,.0f} times the lines."
    yield ""


def _processes(catalogue: tuple[MetricSpec, ...]) -> Iterator[str]:
    yield "## Series a process"
    yield ""
    yield "| | bot | worker |"
    yield "|---|---:|---:|"
    yield "| " + " | ".join(["all families", *(f"{role_series(role, catalogue):,}" for role in ROLES)]) + " |"
    for label, what in _LABELS:
        costs = (f"+{marginal(role, label, catalogue):,}" for role in ROLES)
        yield "| " + " | ".join([f"one more {what}", *costs]) + " |"
    yield ""
    yield "A metric stops at `series_limit` label combinations (1,000 unless set) and counts the rest as `__other__`."
    yield ""


def _metrics(catalogue: tuple[MetricSpec, ...]) -> Iterator[str]:
    yield "## By family"
    yield ""
    yield "| family | metrics | series in a process that fills it |"
    yield "|---|---:|---:|"
    names = [*FAMILIES, *dict.fromkeys(spec.family for spec in catalogue if spec.family not in FAMILIES)]
    for name in names:
        own = [spec for spec in catalogue if spec.family == name]
        yield f"| {name} | {len(own)} | {sum(map(series, own)):,} |"
    yield ""
    yield "The largest, where a bucket or a value less would tell:"
    yield ""
    yield "| metric | label combinations | each | series |"
    yield "|---|---:|---:|---:|"
    for spec in sorted(catalogue, key=series, reverse=True)[:_BIGGEST]:
        many = children(spec)
        yield f"| `{spec.name}` | {many:,} | {series(spec) // many} | {series(spec):,} |"
    yield ""


def _assumptions() -> Iterator[str]:
    yield "## What is assumed"
    yield ""
    yield "| | value | source or argument |"
    yield "|---|---:|---|"
    assumed = Assumptions()
    for item in fields(assumed):
        yield f"| {item.name.replace('_', ' ')} | {getattr(assumed, item.name):,g} | {REASONS[item.name]} |"
    one, more = PROGRAMS["number"]
    (exposed, _), (little, much) = PROGRAMS["series"], (size / 1e6 for size in PROGRAMS["memory"])
    yield (
        f"| programs of the stack | {one:g} / {more:g} | the compose files; that each exposes some {exposed:,g} series "
        f"and needs {little:g} MB, past one machine {much:g} MB, before any load is our guess |"
    )
    yield ""
    values = ", ".join(f"{label} {number}" for label, number in sorted(VALUES.items()) if number > 1)
    yield f"Values a label takes in one process: {values}."


def _bytes(number: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.3g} {unit}"
    return f"{number / 1e3:,.3g} kB"


_CELLS: tuple[tuple[str, Callable[[Need], str]], ...] = (
    ("processes: bots + workers", lambda found: f"{found.bots} + {found.workers}"),
    ("series being written", lambda found: f"{found.series:,}"),
    ("samples a second", lambda found: f"{found.samples:,.0f}"),
    ("log lines a day", lambda found: f"{found.lines:,.0f}"),
    ("log volume a day, as written", lambda found: _bytes(found.log_bytes)),
    ("storage for samples", lambda found: _bytes(found.metric_disk)),
    ("storage for lines", lambda found: _bytes(found.log_disk)),
    ("memory of the whole stack", lambda found: _bytes(found.memory)),
    ("a month, at list prices", lambda found: f"{found.usd:,.0f} USD"),
    ("a month and 1,000 users", lambda found: f"{found.usd / found.users * 1_000:,.2f} USD"),
)
