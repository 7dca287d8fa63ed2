"""OpenTelemetry behind the same calls: real spans, their context attached, parents from other processes kept."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextvars import Token
from typing import Any, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, TraceFlags
from opentelemetry.trace import SpanContext as OtelSpanContext

from botmetry import context
from botmetry.context import SpanContext
from botmetry.tracing.spans import SpanKind

__all__ = ["OtelSpan", "OtelTracer"]

_KINDS: Mapping[SpanKind, trace.SpanKind] = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}


_Safe: TypeAlias = Callable[[dict[str, Any]], Mapping[str, object]]
"""Makes values safe to send: those of `Redactor.fields`, so that a span says no more than the log does."""


class OtelSpan:
    """An OpenTelemetry span that is current in both contexts, theirs and ours."""

    __slots__ = ("_attached", "_entered", "_safe", "_span", "identity")

    def __init__(self, span: trace.Span, identity: SpanContext, safe: _Safe) -> None:
        self._span = span
        self._safe = safe
        self.identity = identity
        self._attached = otel_context.attach(trace.set_span_in_context(span))
        self._entered: Token[SpanContext | None] = context.enter_span(identity)

    def end(self, outcome: str, error: BaseException | None, fields: Mapping[str, object]) -> None:
        """Finish the span; only `error` and `timeout` give it the status ERROR."""
        span = self._span
        try:
            if span.is_recording():
                _describe(span, outcome, error, fields, self._safe)
        finally:
            span.end()
            # In another context, such as that of who closes a generator, detaching fails with an error in the log.
            if context.leave_span(self._entered):
                otel_context.detach(self._attached)


def _describe(
    span: trace.Span, outcome: str, error: BaseException | None, fields: Mapping[str, object], safe: _Safe
) -> None:
    span.set_attribute("outcome", outcome)
    for name, value in safe(dict(fields)).items():
        span.set_attribute(name, value if isinstance(value, str | bool | int | float) else str(value))
    if outcome in {"error", "timeout"}:
        span.set_status(trace.StatusCode.ERROR, None if error is None else type(error).__name__)
    if error is not None and outcome != "cancelled":
        # As `Span.record_exception` does, which would send the text of an exception as it is.
        told = {
            "exception.type": _class_name(type(error)),
            "exception.message": str(error),
            "exception.stacktrace": "".join(traceback.format_exception(error)),
        }
        span.add_event("exception", {name: str(value) for name, value in safe(told).items()})


def _class_name(cls: type) -> str:
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


class OtelTracer:
    """Starts OpenTelemetry spans from a provider that the user made."""

    exports = True

    def __init__(self, provider: trace.TracerProvider, version: str, safe: _Safe = dict) -> None:
        self._tracer = provider.get_tracer("botmetry", version)
        self._safe = safe

    def start(self, name: str, kind: SpanKind, fields: Mapping[str, object]) -> OtelSpan:
        """Start a span below the current one: OpenTelemetry's, else one that it knows nothing of."""
        span = self._tracer.start_span(name, _parent(), kind=_KINDS[kind])
        if span.is_recording():
            for key, value in fields.items():
                span.set_attribute(key, str(value))
        return OtelSpan(span, _identity(span.get_span_context()), self._safe)

    def enter(self, identity: SpanContext) -> OtelSpan:
        """Make a span of another process current in both contexts: the parent of their spans as well as of ours."""
        return OtelSpan(_remote(identity), identity, self._safe)

    def current(self) -> SpanContext | None:
        """Return the innermost span, also one that the program's own instrumentation made.

        Whatever this tracer makes current is current in OpenTelemetry's context, so what is found there is the
        innermost. Outside of that, spans may be current that know nothing of OpenTelemetry.
        """
        theirs = trace.get_current_span().get_span_context()
        ours = context.span()
        if not theirs.is_valid or (ours is not None and int(ours.span_id, 16) == theirs.span_id):
            return ours
        return _identity(theirs)


def _parent() -> otel_context.Context | None:
    ours = context.span()
    if ours is None or trace.get_current_span().get_span_context().is_valid:
        return None  # OpenTelemetry knows the parent
    return trace.set_span_in_context(_remote(ours))


def _identity(ids: OtelSpanContext) -> SpanContext:
    return SpanContext(
        trace.format_trace_id(ids.trace_id), trace.format_span_id(ids.span_id), ids.trace_flags.sampled
    )


def _remote(identity: SpanContext) -> trace.Span:
    ids = OtelSpanContext(
        int(identity.trace_id, 16),
        int(identity.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if identity.sampled else TraceFlags.DEFAULT),
    )
    return NonRecordingSpan(ids)
