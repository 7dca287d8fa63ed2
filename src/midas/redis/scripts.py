"""Lua scripts as data: which one, with which keys and arguments. Nothing here talks to Redis.

A package that has scripts keeps them in its folder ``lua``, one a file, and what they share in ``prelude.lua``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TypeAlias

Argument: TypeAlias = str | int | bytes


@dataclass(frozen=True, slots=True)
class Script:
    """One script.

    Attributes:
        package: Where it is from, such as ``midas.queue``.
        name: Its file without ``.lua``.
    """

    package: str
    name: str

    @property
    def operation(self) -> str:
        """What it is called in metrics and traces, such as ``queue.take``."""
        return f"{self.package.rpartition('.')[2]}.{self.name}"

    @property
    def text(self) -> str:
        """The Lua, with what the package's scripts share in front of it."""
        return _read(self.package, self.name)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one script."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]


@cache
def _read(package: str, name: str) -> str:
    folder = files(package) / "lua"
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("prelude", name))
