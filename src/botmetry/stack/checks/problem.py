"""What a check found wrong, where a person can go and look."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from botmetry.errors import StackError

__all__ = ["Problem", "problem_of"]

_PLACE = re.compile(r"(.+?):([0-9]+): (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: The file.
        line: Counted from 1.
        message: What is wrong, and what to do when that is not obvious.
    """

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def problem_of(error: StackError, root: Path, otherwise: Path) -> Problem:
    """Return the problem of an error, at the place that its message begins with, else at the head of `otherwise`."""
    place = _PLACE.fullmatch(str(error))
    if place is None:
        return Problem(otherwise, 1, str(error))
    return Problem(root / place[1], int(place[2]), place[3])
