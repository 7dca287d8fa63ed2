"""Says how a value that JSON does not know is written in a log line: as faithfully as text can, never failing."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from typing import Final

__all__ = ["items_of", "number", "text_of", "well_formed"]

_MAX_INTEGER: Final = 2**64 - 1  # the encoder writes signed and unsigned 64 bits
_MIN_INTEGER: Final = -(2**63)


def text_of(value: object) -> str:
    """Return `value` as text, whatever its `__str__` does.

    Bytes are read as UTF-8 with escapes for the rest, dates as ISO 8601, errors with their type.
    """
    try:
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value).decode("utf-8", "backslashreplace")
        if isinstance(value, date | time):
            return value.isoformat()
        if isinstance(value, BaseException):
            return f"{type(value).__name__}: {value}"
        return str(value)
    except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises, the line is written
        return f"<{type(value).__name__} without text: {type(error).__name__}>"


def number(value: float) -> int | float | str:
    """Return `value` as a number where JSON has it, else as text: NaN, infinities, more than 64 bits."""
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if _MIN_INTEGER <= value <= _MAX_INTEGER:
        return int(value)
    try:
        return str(int(value))
    except ValueError:  # longer than sys.set_int_max_str_digits allows
        return hex(value)


def items_of(value: object) -> Mapping[object, object] | Iterable[object] | None:
    """Return what is inside a container: a mapping, or an iterable of members; None for anything else.

    A named tuple and a dataclass are mappings, because names tell what is a secret; what a dataclass leaves out of its
    own text (`field(repr=False)`) is left out here, too.
    """
    if isinstance(value, Mapping):
        return value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=False))
    if isinstance(value, list | tuple | deque | AbstractSet):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: getattr(value, field.name, None) for field in dataclasses.fields(value) if field.repr
        }
    return None


def well_formed(text: str) -> str:
    """Return `text` with lone surrogates, which UTF-8 cannot carry, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
