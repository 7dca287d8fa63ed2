"""Work that arrives from outside, such as an update or a request: its span, and what everything inside carries.

The families make spans for what they count. An arrival is not counted here; it is where a trace begins or goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Token
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from botmetry import context
from botmetry.context import Fields, SpanContext
from botmetry.instrument.outcome import Outcome, outcome_of
from botmetry.tracing import Span, SpanKind, parse_traceparent

if TYPE_CHECKING:
    from botmetry.telemetry import Telemetry

__all__ = ["Arrival", "Arrived"]

_NOTHING: Mapping[str, object] = MappingProxyType({})


class Arrived(NamedTuple):
    """What is known of work at its arrival.

    Attributes:
        span: The name of its span, from a bounded set.
        kind: The kind of its span.
        fields: What the span says of it.
        bound: What every log line inside carries.
        traceparent: The span it was sent by, as W3C Trace Context; empty when nobody says.
    """

    span: str
    kind: SpanKind
    fields: Mapping[str, object] = _NOTHING
    bound: Mapping[str, object] = _NOTHING
    traceparent: str = ""


class Arrival:
    """A `with` block around the handling of arrived work. A failure of the telemetry is counted, and the work goes on.

    Attributes:
        outcome: Set it when the exception that ends the block does not say how the work ended.
    """

    __slots__ = ("_bound", "_component", "_look", "_parent", "_span", "_telemetry", "outcome")

    def __init__(self, telemetry: Telemetry, component: str, look: Callable[[], Arrived]) -> None:
        """Prepare the block.

        Args:
            telemetry: Who observes.
            component: What a failure of the telemetry is counted under.
            look: Counts the work and says what is known of it.
        """
        self.outcome: Outcome | None = None
        self._telemetry = telemetry
        self._component = component
        self._look = look
        self._parent: Token[SpanContext | None] | None = None
        self._span: Span | None = None
        self._bound: Token[Fields] | None = None

    def __enter__(self) -> Self:
        try:
            self._begin(self._look())
        except Exception as error:  # noqa: BLE001 -- the work must be done whatever the telemetry does
            self._telemetry.internal_error(self._component, error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end(error)
        except Exception as failure:  # noqa: BLE001 -- see above
            self._telemetry.internal_error(self._component, failure)

    def _begin(self, arrived: Arrived) -> None:
        parent = parse_traceparent(arrived.traceparent)
        if parent is not None:
            self._parent = context.enter_span(parent)
        self._span = self._telemetry.tracer.start(arrived.span, arrived.kind, arrived.fields)
        if arrived.bound:
            self._bound = context.bind(**arrived.bound)

    def _end(self, error: BaseException | None) -> None:
        if self._bound is not None:
            context.unbind(self._bound)
        if self._span is not None:
            fine = self.outcome == "ok"
            self._span.end(self.outcome or outcome_of(error), None if fine else error, _NOTHING)
        if self._parent is not None:
            context.leave_span(self._parent)
