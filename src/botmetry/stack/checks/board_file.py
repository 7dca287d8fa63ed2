"""A dashboard's file as the checks read it: its panels, their queries, and the expressions behind the variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import promql_parser as promql

from botmetry.stack.located import Located

__all__ = [
    "LOKI",
    "PROMETHEUS",
    "RATE_INTERVAL",
    "kind_of",
    "panels_of",
    "read_selectors",
    "rows_and_panels_of",
    "substituted",
    "text_of",
    "uncoded",
]

PROMETHEUS, LOKI = "prometheus", "loki"

RATE_INTERVAL = timedelta(minutes=4, seconds=59)
"""What stands for `$__rate_interval` in an expression that is parsed: a time nobody writes."""

_VARIABLE = re.compile(r"\$(?:\{(\w+)[^}]*\}|(\w+))")
_TIMES = {"__rate_interval": "4m59s", "__interval": "1m", "__range": "1h", "__auto": "1m"}


def panels_of(document: Located) -> Iterator[Located]:
    """Yield every panel, those in folded rows too, rows left out."""
    for panel in rows_and_panels_of(document):
        if text_of(panel, "type") != "row":
            yield panel


def rows_and_panels_of(document: Located) -> Iterator[Located]:
    """Yield every panel and row, in the order of the file."""
    for panel in document.each("panels"):
        yield panel
        yield from panel.each("panels")


def text_of(value: Located, *keys: str) -> str:
    """Return the text under `keys`, or an empty one."""
    found = value.get(*keys)
    return found.text if found is not None else ""


def kind_of(target: Located) -> str:
    """Return the kind of data source that a query asks."""
    return text_of(target, "datasource", "type")


def substituted(expr: str) -> str:
    """Return an expression with a value in the place of each of Grafana's variables."""
    return _VARIABLE.sub(lambda match: _TIMES.get(match[1] or match[2], "x"), expr)


def uncoded(expr: str) -> str:
    """Return an expression that can be parsed and still shows its variables, where these stand in texts."""
    return _VARIABLE.sub(lambda match: _TIMES.get(match[1] or match[2], match[0]), expr)


def read_selectors(expr: str) -> list[tuple[Any, str, timedelta | None]]:
    """Return each selector of a PromQL expression, with the function right around it and its range.

    An expression that cannot be parsed has none; that it cannot is found elsewhere.
    """
    for readable in (uncoded(expr), substituted(expr)):
        try:
            return list(_selectors(promql.parse(readable), ""))
        except ValueError:
            continue
    return []


def _selectors(part: Any, within: str) -> Iterator[tuple[Any, str, timedelta | None]]:
    match part:
        case promql.VectorSelector():
            yield part, within, None
        case promql.MatrixSelector():
            yield part.vector_selector, within, part.range
        case promql.ParenExpr() | promql.UnaryExpr():
            yield from _selectors(part.expr, within)
        case promql.SubqueryExpr() | promql.AggregateExpr():
            yield from _selectors(part.expr, "")
        case promql.Call():
            for argument in part.args:
                yield from _selectors(argument, part.func.name)
        case promql.BinaryExpr():
            yield from _selectors(part.lhs, "")
            yield from _selectors(part.rhs, "")
