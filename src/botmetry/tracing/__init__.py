"""Spans: an identity for every piece of work, exported through OpenTelemetry where it is configured."""

from botmetry.context import SpanContext
from botmetry.context import span as current
from botmetry.tracing.export import flush, provider_from_settings
from botmetry.tracing.propagation import carrier, continue_from, format_traceparent, parse_traceparent
from botmetry.tracing.spans import IdentityTracer, Span, SpanKind, Tracer

__all__ = [
    "IdentityTracer",
    "Span",
    "SpanContext",
    "SpanKind",
    "Tracer",
    "carrier",
    "continue_from",
    "current",
    "flush",
    "format_traceparent",
    "parse_traceparent",
    "provider_from_settings",
]
