"""Spans that give every piece of work an identity, exported or not.

Without OpenTelemetry a span is two identifiers and a place in the context: log lines of a bot and its worker
can be joined by `trace_id`, and nothing else is paid for. With it, the same calls make OpenTelemetry spans.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextvars import Token
from functools import partial
from random import Random
from typing import Final, Literal, Protocol, TypeAlias, cast

from botmetry import context
from botmetry.context import SpanContext

__all__ = ["IdentitySpan", "IdentityTracer", "Span", "SpanKind", "Tracer"]

_IDS: Final = 256
_SPAN_ID: Final = re.compile(".{16}")
_ROOT_IDS: Final = re.compile("(.{32})(.{16})")

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
    """Gives out identifiers, and exports nothing.

    The generator is seeded from the operating system in each process, also after a fork: two workers that
    share a seed would share trace ids.
    """

    exports = False

    def __init__(self, random: Random | None = None) -> None:
        self._random = random or Random(os.urandom(32))  # noqa: S311 - identifiers are public
        self._ids: list[str] = []
        self._roots: list[tuple[str, str]] = []
        if random is None:
            os.register_at_fork(after_in_child=self._reseed)

    def start(self, name: str, kind: SpanKind, fields: Mapping[str, object]) -> IdentitySpan:
        """Start a span in the current trace, or in a new one."""
        parent = context.span()
        # Identifiers are made many at a time, which costs a fifth. `pop` is atomic: no two threads get the same one.
        try:
            if parent is None:
                trace_id, span_id = self._roots.pop()
                identity = _identity((trace_id, span_id, True))
            else:
                identity = _identity((parent.trace_id, self._ids.pop(), parent.sampled))
        except IndexError:
            self._make_ids()
            return self.start(name, kind, fields)
        return IdentitySpan(identity, context.enter_span(identity))

    def _make_ids(self) -> None:
        # All zeros is invalid by W3C Trace Context.
        self._ids += (span for span in _SPAN_ID.findall(self._hexadecimal(8)) if span != "0" * 16)
        roots = _ROOT_IDS.findall(self._hexadecimal(24))
        self._roots += ((trace, span) for trace, span in roots if trace != "0" * 32 and span != "0" * 16)

    def _hexadecimal(self, size: int) -> str:
        return self._random.randbytes(_IDS * size).hex()

    def _reseed(self) -> None:
        self._ids.clear()
        self._roots.clear()
        self._random.seed(os.urandom(32))
