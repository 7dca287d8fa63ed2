"""Carries the current span and the bound fields to another process, and back into its context.

The span travels as W3C Trace Context (`traceparent`, https://www.w3.org/TR/trace-context/), which every tracing system
reads; the fields beside it as JSON, because log context is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import orjson

from botmetry import context
from botmetry.context import SpanContext

__all__ = ["carrier", "continue_from", "format_traceparent", "parse_traceparent"]

FIELDS_KEY: Final = "botmetry-context"
MAX_FIELDS_BYTES: Final = 4096
"""Fields longer than this stay behind: a message is no place for a document."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED: Final = 0x01


def carrier() -> dict[str, str]:
    """Return the current span and fields as text pairs for a message or request."""
    pairs: dict[str, str] = {}
    span = context.span()
    if span is not None:
        pairs["traceparent"] = format_traceparent(span)
    fields = context.fields()
    if fields:
        encoded = orjson.dumps(dict(fields), default=str, option=orjson.OPT_NON_STR_KEYS)
        if len(encoded) <= MAX_FIELDS_BYTES:
            pairs[FIELDS_KEY] = encoded.decode()
    return pairs


@contextmanager
def continue_from(pairs: Mapping[str, str]) -> Iterator[None]:
    """Make the span and fields of a `carrier` current for a `with` block; what cannot be read is left out."""
    span = parse_traceparent(pairs.get("traceparent", ""))
    span_token = None if span is None else context.enter_span(span)
    fields_token = context.bind(**_parse_fields(pairs.get(FIELDS_KEY, "{}")))
    try:
        yield
    finally:
        context.unbind(fields_token)
        if span_token is not None:
            context.leave_span(span_token)


def format_traceparent(span: SpanContext) -> str:
    """Return the `traceparent` of a span."""
    return f"00-{span.trace_id}-{span.span_id}-{'01' if span.sampled else '00'}"


def parse_traceparent(text: str) -> SpanContext | None:
    """Return the span a `traceparent` names, or None when it names none."""
    match = _TRACEPARENT.fullmatch(text.strip().lower())
    if match is None or text.startswith("ff"):
        return None
    trace_id, span_id, flags = match.groups()
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return SpanContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def _parse_fields(text: str) -> dict[str, object]:
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}
