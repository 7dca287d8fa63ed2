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

_BYTES: Final = 8
_IDS: Final = 256
_EACH_ID: Final = re.compile(f".{{{2 * _BYTES}}}")
_INVALID: Final = "0" * 2 * _BYTES  # W3C Trace Context

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
        if random is None:
            os.register_at_fork(after_in_child=self._reseed)

    def start(self, name: str, kind: SpanKind, fields: Mapping[str, object]) -> IdentitySpan:  # noqa: ARG002
        """Start a span in the current trace, or in a new one."""
        parent = context.span()
        identity = self._new(parent)
        return IdentitySpan(identity, context.enter_span(identity))

    def _new(self, parent: SpanContext | None) -> SpanContext:
        # Identifiers are made many at a time, which costs a fifth. `pop` is atomic: no two threads get the same one.
        take = self._ids.pop
        try:
            if parent is None:
                return _identity((take() + take(), take(), True))
            return _identity((parent.trace_id, take(), parent.sampled))
        except IndexError:
            made = _EACH_ID.findall(self._random.randbytes(_BYTES * _IDS).hex())
            self._ids.extend(made if _INVALID not in made else [])
            return self._new(parent)

    def _reseed(self) -> None:
        self._ids.clear()
        self._random.seed(os.urandom(32))
