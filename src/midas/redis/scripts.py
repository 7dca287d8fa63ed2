"""Lua scripts as data: which one, with which keys and arguments. Nothing here talks to Redis.

A package that has scripts keeps them in its folder ``lua``, one a file, and what they share in ``prelude.lua``. A line
``-- include PACKAGE NAME`` stands for what another package has in such a file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple, TypeAlias

_INCLUDE: Final = re.compile(r"^-- include (\S+) (\S+)$", re.MULTILINE)

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
        return _operation_of(self.package, self.name)

    @property
    def text(self) -> str:
        """The Lua, with what the package's scripts share in front of it."""
        return _read(self.package, self.name)

    @property
    def sha(self) -> str:
        """By which a server knows it."""
        return _sha_of(self.package, self.name)


class Call(NamedTuple):
    """One call of one script."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]


@cache
def _read(package: str, name: str) -> str:
    return "\n".join(_included(_file(package, part)) for part in ("prelude", name))


@cache
def _operation_of(package: str, name: str) -> str:
    return f"{package.rpartition('.')[2]}.{name}"


@cache
def _sha_of(package: str, name: str) -> str:
    return hashlib.sha1(_read(package, name).encode(), usedforsecurity=False).hexdigest()


def _included(text: str) -> str:
    return _INCLUDE.sub(lambda line: _file(line[1], line[2]), text)


def _file(package: str, name: str) -> str:
    return (files(package) / "lua" / f"{name}.lua").read_text(encoding="utf-8")
