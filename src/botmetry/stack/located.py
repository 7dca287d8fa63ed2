"""YAML and JSON as data that remembers its lines, so that a fault is reported where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from botmetry.errors import StackError

__all__ = ["Located", "parse_located", "read_located", "read_yaml"]


@dataclass(frozen=True, slots=True)
class Located:
    """One value of a file.

    Attributes:
        path: The file.
        value: A text, a list of `Located`, or a mapping of texts to `Located`.
        line: Its first line, from 1.
        last: Its last line.
        source: The lines of the whole file.
    """

    path: Path
    value: Any
    line: int
    last: int
    source: tuple[str, ...]

    @property
    def text(self) -> str:
        """The value as text, as it stands in the file: numbers and booleans too."""
        return str(self.value)

    def get(self, *keys: str) -> Located | None:
        """Return the value under `keys`, one below the other, or None."""
        found: Located | None = self
        for key in keys:
            if found is None or not isinstance(found.value, Mapping):
                return None
            found = found.value.get(key)
        return found

    def items(self) -> Iterator[tuple[str, Located]]:
        """Yield the entries of a mapping; of anything else, nothing."""
        if isinstance(self.value, Mapping):
            yield from self.value.items()

    def each(self, *keys: str) -> Iterator[Located]:
        """Yield the entries of the list under `keys`; nothing when there is none."""
        found = self.get(*keys)
        if found is not None and isinstance(found.value, list):
            yield from found.value

    def line_of(self, token: str) -> int:
        """Return the first line of this value that has `token` as a word, else its first line."""
        word = re.compile(rf"(?<![\w:]){re.escape(token)}(?![\w:])") if token else None
        for number in range(self.line, self.last + 1) if word else ():
            if word is not None and word.search(self.source[number - 1]):
                return number
        return self.line


def read_located(path: Path) -> Located:
    """Read a YAML or JSON file.

    Raises:
        StackError: It is missing or cannot be parsed; the message has the line.
    """
    try:
        return parse_located(path, path.read_text("utf-8"))
    except OSError as error:
        raise StackError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StackError(f"{path}:1: is not UTF-8") from error


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain data.

    Raises:
        StackError: It is missing or cannot be parsed; the message is one line and has the file's.
    """
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise StackError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StackError(f"{path}:1: is not UTF-8") from error
    except yaml.YAMLError as error:
        raise _unreadable(path, error) from error


# Five checks read the same dashboards; the text is part of the key, so an edited file is parsed again.
@lru_cache(maxsize=64)
def parse_located(path: Path, text: str) -> Located:
    """Parse what stands, or is going to stand, in `path`.

    Raises:
        StackError: It cannot be parsed; the message has the line.
    """
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise _unreadable(path, error) from error
    return _located(path, node, tuple(text.splitlines()))


def _unreadable(path: Path, error: yaml.YAMLError) -> StackError:
    """Return what is wrong in one line, at the line where it was noticed."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return StackError(f"{path}:{error.problem_mark.line + 1}: {error.problem}")
    return StackError(f"{path}:1: {' '.join(str(error).split())}")


def _located(path: Path, node: yaml.Node | None, source: tuple[str, ...]) -> Located:
    if node is None:
        return Located(path, "", 1, 1, source)
    # A block scalar ends at the start of the line after it.
    first, last = node.start_mark.line + 1, node.end_mark.line + (node.end_mark.column > 0)
    value: Any
    match node:
        case yaml.MappingNode():
            value = {key.value: _located(path, child, source) for key, child in node.value}
        case yaml.SequenceNode():
            value = [_located(path, child, source) for child in node.value]
        case _:
            value = node.value
    return Located(path, value, first, max(first, min(last, len(source))), source)
