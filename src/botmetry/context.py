"""What is known about the work at hand: the fields that every log line carries, and the span it belongs to.

Both live in a `ContextVar` that holds an immutable value, so a task started inside inherits them, a sibling
never sees them, and reading them costs one look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

__all__ = [
    "Fields",
    "SpanContext",
    "bind",
    "enter_span",
    "fields",
    "leave_span",
    "replace",
    "scope",
    "span",
    "unbind",
]

Fields: TypeAlias = Mapping[str, object]


class SpanContext(NamedTuple):
    """A span's identity, as W3C Trace Context has it: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str
    sampled: bool = True


_EMPTY: Fields = MappingProxyType({})
_fields: ContextVar[Fields] = ContextVar("botmetry_fields", default=_EMPTY)
_span: ContextVar[SpanContext | None] = ContextVar("botmetry_span", default=None)


fields: Final[Callable[[], Fields]] = _fields.get
"""Returns the fields bound in the current context. Do not change the mapping."""


def bind(**new: object) -> Token[Fields]:
    """Add `new` to the bound fields, replacing those of the same name, until `unbind`."""
    return _fields.set({**_fields.get(), **new})


replace: Final[Callable[[Fields], Token[Fields]]] = _fields.set
"""Makes a mapping, which nobody changes any more, the bound fields until `unbind`."""


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


span: Final[Callable[[], SpanContext | None]] = _span.get
"""Returns the span that the current work belongs to, or None outside any."""

enter_span: Final[Callable[[SpanContext], Token[SpanContext | None]]] = _span.set
"""Makes a span the current one until `leave_span`."""


def leave_span(token: Token[SpanContext | None]) -> bool:
    """Restore the span that was current before the `enter_span` that returned `token`; see `unbind`.

    Returns:
        Whether the token belongs to this context.
    """
    try:
        _span.reset(token)
    except ValueError:
        return False
    return True
