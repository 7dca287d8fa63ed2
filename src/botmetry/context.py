"""What is known about the work at hand: the fields that every log line carries, and the span it belongs to.

Both live in a `ContextVar` that holds an immutable value, so a task started inside inherits them, a sibling
never sees them, and reading them costs one look-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

__all__ = ["Fields", "SpanContext", "bind", "enter_span", "fields", "leave_span", "scope", "span", "unbind"]

Fields: TypeAlias = Mapping[str, object]


class SpanContext(NamedTuple):
    """A span's identity, as W3C Trace Context has it: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str
    sampled: bool = True


_EMPTY: Fields = MappingProxyType({})
_fields: ContextVar[Fields] = ContextVar("botmetry_fields", default=_EMPTY)
_span: ContextVar[SpanContext | None] = ContextVar("botmetry_span", default=None)


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


def span() -> SpanContext | None:
    """Return the span that the current work belongs to, or None outside any."""
    return _span.get()


def enter_span(new: SpanContext) -> Token[SpanContext | None]:
    """Make `new` the current span until `leave_span`."""
    return _span.set(new)


def leave_span(token: Token[SpanContext | None]) -> None:
    """Restore the span that was current before the `enter_span` that returned `token`; see `unbind`."""
    try:
        _span.reset(token)
    except ValueError:
        return
