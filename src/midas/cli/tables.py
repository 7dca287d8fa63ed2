"""Answers as a person reads them, in aligned columns, and as a program does, in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

_LONGEST_CELL: Final = 60
_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> str:
    """Give lines with aligned columns under their names; `empty` where there are no rows."""
    lines = [[_cell(value) for value in row] for row in rows]
    if not lines:
        return empty
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in ([name.upper() for name in head], *lines)
    )


def fields(pairs: Iterable[tuple[str, object]]) -> str:
    """Give a line for each name and value, the values one under the other; None and empty ones are left out."""
    known = [(name, str(value)) for name, value in pairs if value is not None and value != ""]
    width = max((len(name) for name, _ in known), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in known)


def as_json(value: Any) -> str:
    """Give indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value)).decode()


def instant(seconds: float) -> str:
    """Write seconds since 1970 as UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def duration(seconds: float) -> str:
    """Write a duration in one unit: ``12 s``, ``3 min``, ``5.2 h``."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}".replace(".0 ", " ")
    return f"{seconds:.0f} s"


def _cell(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"
