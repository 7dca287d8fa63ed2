"""What is known about the work at hand: fields that every log line of this task carries.

The fields live in one `ContextVar` that holds an immutable mapping, so a task started inside inherits
them, a sibling never sees them, and reading them costs one look-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import TypeAlias

__all__ = ["Fields", "bind", "fields", "scope", "unbind"]

Fields: TypeAlias = Mapping[str, object]

_EMPTY: Fields = MappingProxyType({})
_fields: ContextVar[Fields] = ContextVar("botmetry_fields", default=_EMPTY)


def fields() -> Fields:
    """Return the fields bound in the current context. Do not change the mapping."""
    return _fields.get()


def bind(**new: object) -> Token[Fields]:
    """Add `new` to the bound fields, replacing those of the same name, until `unbind`."""
    return _fields.set({**_fields.get(), **new})


def unbind(token: Token[Fields]) -> None:
    """Restore the fields as they were before the `bind` that returned `token`.

    A token of another context (a generator closed by another task) restores nothing: that context
    ends by itself, and an error here would hide the one that closed the generator.
    """
    try:
        _fields.reset(token)
    except ValueError:
        return


@contextmanager
def scope(**new: object) -> Iterator[None]:
    """Bind `new` for the duration of a `with` block."""
    token = bind(**new)
    try:
        yield
    finally:
        unbind(token)
