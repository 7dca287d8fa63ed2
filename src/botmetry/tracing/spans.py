"""Spans that give every piece of work an identity, exported or not.

Without OpenTelemetry a span is two identifiers and a place in the context: log lines of a bot and its worker
can be joined by `trace_id`, and nothing else is paid for. With it, the same calls make OpenTelemetry spans.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextvars import Token
from functools import partial
from typing import Final, Literal, Protocol, TypeAlias, cast

from botmetry import context
from botmetry.context import SpanContext

__all__ = ["IdentitySpan", "IdentityTracer", "Span", "SpanKind", "Tracer", "enter_identity"]

_IDS: Final = 256

_identity: Final = cast("Callable[[tuple[str, str, bool]], SpanContext]", partial(tuple.__new__, SpanContext))
"""Makes a `SpanContext` without the call of a function in Python that its name stands for."""

SpanKind: TypeAlias = Literal["internal", "server", "client", "producer", "consumer"]


class Span(Protocol):
    """One piece of work under way. It is current from its start to its end."""

    @property
    def identity(self) -> SpanContext:
        """The span's trace and span identifier."""
        ...  # a protocol has no body

    def end(self, outcome: str, error: BaseException | None, fields: Mapping[str, object]) -> None:
        """Finish the span with `ok`, `error`, `cancelled` or `timeout`, and what became known."""
        ...  # a protocol has no body


class Tracer(Protocol):
    """Starts spans."""

    @property
    def exports(self) -> bool:
        """Whether somebody sees the spans: exemplars point to them only then."""
        ...  # a protocol has no body

    def start(self, name: str, kind: SpanKind, fields: Mapping[str, object]) -> Span:
        """Start a span below the current one and make it current."""
        ...  # a protocol has no body

    def enter(self, identity: SpanContext) -> Span:
        """Make a span of another process current until the `end` of what is returned."""
        ...  # a protocol has no body

    def current(self) -> SpanContext | None:
        """Return the innermost span that is current, or None outside any."""
        ...  # a protocol has no body


class IdentitySpan:
    """A span that is nothing but its identifiers."""

    __slots__ = ("_token", "identity")

    def __init__(self, identity: SpanContext, token: Token[SpanContext | None]) -> None:
        self.identity = identity
        self._token = token

    def end(self, outcome: str, error: BaseException | None, fields: Mapping[str, object]) -> None:  # noqa: ARG002
        """Make the span before this one current again."""
        context.leave_span(self._token)


class IdentityTracer:
    """Gives out identifiers, and exports nothing."""

    exports = False
    current = staticmethod(context.span)

    def __init__(self) -> None:
        self._roots: list[SpanContext] = []
        self._ids: list[str] = []
        os.register_at_fork(after_in_child=self._forget)  # else two workers would give out the same ones

    def start(self, name: str, kind: SpanKind, fields: Mapping[str, object]) -> IdentitySpan:
        """Start a span in the current trace, or in a new one."""
        parent = context.span()
        # Identifiers are made many at a time, which costs a fifth. `pop` is atomic: no two threads get the same one.
        try:
            if parent is None:
                identity = self._roots.pop()
            else:
                identity = _identity((parent.trace_id, self._ids.pop(), parent.sampled))
        except IndexError:
            if parent is None:
                self._roots += map(
                    _identity, zip(_random_ids(16), _random_ids(8), [True] * _IDS, strict=True)
                )
            else:
                self._ids += _random_ids(8)
            return self.start(name, kind, fields)
        return IdentitySpan(identity, context.enter_span(identity))

    def enter(self, identity: SpanContext) -> IdentitySpan:
        """Make a span of another process current until the `end` of what is returned."""
        return enter_identity(identity)

    def _forget(self) -> None:
        self._roots.clear()
        self._ids.clear()


def enter_identity(identity: SpanContext) -> IdentitySpan:
    """Make a span current that is nothing but its identifiers."""
    return IdentitySpan(identity, context.enter_span(identity))


def _random_ids(size: int) -> list[str]:
    """Return many identifiers of `size` bytes in hexadecimal; none is zero, which W3C Trace Context forbids."""
    ids = os.urandom(_IDS * size).hex(" ", size)
    return _random_ids(size) if "00" * size in ids else ids.split()
