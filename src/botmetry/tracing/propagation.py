"""Carries the current span and the bound fields to another process, and back into its context.

The span travels as W3C Trace Context (`traceparent`, https://www.w3.org/TR/trace-context/), which every tracing system
reads; the fields beside it as JSON, because log context is ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import orjson

from botmetry import context
from botmetry.context import SpanContext
from botmetry.tracing.spans import Span, enter_identity

__all__ = ["carrier", "continue_from", "format_traceparent", "parse_traceparent"]

FIELDS_KEY: Final = "botmetry-context"
MAX_FIELDS_BYTES: Final = 4096
"""Fields longer than this stay behind: a message is no place for a document."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED: Final = 0x01


def carrier(current: Callable[[], SpanContext | None] = context.span) -> dict[str, str]:
    """Return the current span and fields as text pairs for a message or request.

    A field that JSON does not know travels as text. One that cannot be written at all stays behind.

    Args:
        current: Tells which span is the current one, as `Tracer.current` does.
    """
    pairs: dict[str, str] = {}
    span = current()
    if span is not None:
        pairs["traceparent"] = format_traceparent(span)
    fields = context.fields()
    if fields:
        encoded = _encode(dict(fields))
        if len(encoded) <= MAX_FIELDS_BYTES:
            pairs[FIELDS_KEY] = encoded.decode()
    return pairs


@contextmanager
def continue_from(
    pairs: Mapping[str, str] | None, enter: Callable[[SpanContext], Span] = enter_identity
) -> Iterator[None]:
    """Make the span and fields of a `carrier` current for a `with` block; what cannot be read is left out.

    Args:
        pairs: What `carrier` returned.
        enter: Makes the span current, as `Tracer.enter` does.
    """
    brought = pairs if isinstance(pairs, Mapping) else {}
    span = parse_traceparent(_text(brought.get("traceparent")))
    entered = None if span is None else enter(span)
    fields_token = context.bind(**_parse_fields(_text(brought.get(FIELDS_KEY))))
    try:
        yield
    finally:
        context.unbind(fields_token)
        if entered is not None:
            entered.end("ok", None, {})


def format_traceparent(span: SpanContext) -> str:
    """Return the `traceparent` of a span."""
    return f"00-{span.trace_id}-{span.span_id}-{'01' if span.sampled else '00'}"


def parse_traceparent(text: str) -> SpanContext | None:
    """Return the span a `traceparent` names, or None when it names none."""
    text = text.strip().lower()
    match = _TRACEPARENT.fullmatch(text)
    if match is None or text.startswith("ff"):
        return None
    trace_id, span_id, flags = match.groups()
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return SpanContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def _encode(fields: Mapping[str, object]) -> bytes:
    """Return fields as a JSON object; each for itself when one of them cannot be part of it."""
    try:
        return orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        each = (_encode_one(name, value) for name, value in fields.items())
        return b"{" + b",".join(part for part in each if part) + b"}"


def _encode_one(name: str, value: object) -> bytes:
    """Return `"name":value`, with its text where JSON has no such value; nothing when there is no text either."""
    try:
        return orjson.dumps({name: value}, default=str, option=orjson.OPT_NON_STR_KEYS)[1:-1]
    except orjson.JSONEncodeError:
        pass
    try:
        return orjson.dumps({name: str(value).encode("utf-8", "backslashreplace").decode()})[1:-1]
    except Exception:  # noqa: BLE001 - foreign code: whatever `__str__` raises, the message is sent
        return b""


def _text(value: object) -> str:
    """Return what a message brought as text: some clients give bytes, and a stranger may send anything."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def _parse_fields(text: str) -> dict[str, object]:
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}
