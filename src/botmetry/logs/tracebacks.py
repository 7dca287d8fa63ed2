"""Exceptions as text: what `exc_info` may be, and the traceback that is written of it."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType
from typing import TypeAlias

from botmetry.logs.plain import text_of

__all__ = ["ExcInfo", "traceback_of"]

ExcInfo: TypeAlias = (
    bool
    | BaseException
    | tuple[type[BaseException], BaseException, TracebackType | None]
    | tuple[None, None, None]
    | None
)
"""What the stdlib's `exc_info` may be: an exception, `sys.exc_info()`, or True for the one being handled."""


def traceback_of(exc_info: ExcInfo) -> str | None:
    """Return the traceback of an exception as Python prints it, or None if there is no exception."""
    error = exc_info
    if isinstance(exc_info, tuple):
        error = exc_info[1]
    elif exc_info is True:
        error = sys.exc_info()[1]
    if not isinstance(error, BaseException):
        return None
    try:
        return "".join(traceback.format_exception(error)).rstrip("\n")
    except Exception:  # noqa: BLE001 - an exception class may break even its own traceback
        return text_of(error)
