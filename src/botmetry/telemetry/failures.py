"""The telemetry's own failures: counted each time, logged once a place, never raised."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from threading import local
from typing import Final

__all__ = ["Failures"]

_PLACES: Final = 256
"""Places that are remembered; a program has fewer, and one that has not must not fill the memory."""


class Failures:
    """Takes failures of the telemetry from wherever they happen."""

    def __init__(self) -> None:
        self._count: Callable[[str], None] = _nobody
        self._log: Callable[[str, BaseException], None] = _nobody_listens
        self._places: set[tuple[str, str, str, int]] = set()
        self._inside = local()

    def connect(self, count: Callable[[str], None], log: Callable[[str, BaseException], None]) -> None:
        """Say where failures are counted and logged, once the metrics and the log exist."""
        self._count = count
        self._log = log

    def __call__(self, component: str, error: BaseException) -> None:
        """Count a failure of a component, and log it when it is the first at its place."""
        if getattr(self._inside, "reporting", False):
            return  # the report of a failure has failed
        self._inside.reporting = True
        try:
            with suppress(Exception):  # there is nobody left to tell, and the host must go on
                self._count(component)
                place = (component, type(error).__name__, *_origin(error))
                if place not in self._places and len(self._places) < _PLACES:
                    self._places.add(place)
                    self._log(component, error)
        finally:
            self._inside.reporting = False


def _origin(error: BaseException) -> tuple[str, int]:
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return (frames[0].filename, frames[0].lineno or 0) if frames else ("", 0)


def _nobody(component: str) -> None:
    """Count nothing: the metrics do not exist yet."""


def _nobody_listens(component: str, error: BaseException) -> None:
    """Log nothing: the log does not exist yet."""
