"""Identifiers of spans: their form, and how many of them are kept."""

from __future__ import annotations

import logging
import os
from contextvars import copy_context

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from botmetry import context
from botmetry.tracing import IdentityTracer
from botmetry.tracing.otel import OtelTracer

from ...untraced import fork  # noqa: TID252 -- the tests are no package on any path

SPANS = 2_000
"""More than are made at a time, several times over."""


def starts(tracer: IdentityTracer, count: int) -> list[context.SpanContext]:
    """Begin and end spans one after the other, and return what they were."""
    identities = []
    for _ in range(count):
        span = tracer.start("work", "internal", {})
        identities.append(span.identity)
        span.end("ok", None, {})
    return identities


def test_every_trace_has_identifiers_of_its_own_as_w3c_trace_context_has_them():
    """32 and 16 lower-case hexadecimal digits, never the same twice."""
    identities = starts(IdentityTracer(), SPANS)
    assert len({identity.trace_id for identity in identities}) == SPANS
    assert len({identity.span_id for identity in identities}) == SPANS
    for identity in identities:
        assert (len(bytes.fromhex(identity.trace_id)), len(bytes.fromhex(identity.span_id))) == (16, 8)
        assert identity.trace_id + identity.span_id == (identity.trace_id + identity.span_id).lower()
        assert identity.sampled


def test_spans_within_a_span_belong_to_its_trace():
    """They take over its trace and its decision to sample, and have identifiers of their own."""
    outer = context.SpanContext("a" * 32, "b" * 16, sampled=False)
    token = context.enter_span(outer)
    try:
        inner = starts(IdentityTracer(), SPANS)
    finally:
        context.leave_span(token)
    assert {(span.trace_id, span.sampled) for span in inner} == {(outer.trace_id, False)}
    assert len({span.span_id for span in inner}) == SPANS


@pytest.mark.parametrize("around", [None, context.SpanContext("a" * 32, "b" * 16)], ids=["roots", "children"])
def test_identifiers_that_nobody_asks_for_do_not_pile_up(around):
    """A bot only begins traces, a worker only continues them: neither gathers identifiers for the other kind."""
    tracer = IdentityTracer()
    token = context.enter_span(around) if around else None
    try:
        starts(tracer, SPANS)
    finally:
        if token:
            context.leave_span(token)
    assert len(tracer._roots) + len(tracer._ids) < SPANS / 2


def test_a_forked_child_gives_out_other_identifiers():
    """What was made in advance before a fork is not used on both sides of it."""
    tracer = IdentityTracer()
    starts(tracer, 1)
    reading, writing = os.pipe()
    child = fork(lambda: os.write(writing, starts(tracer, 1)[0].trace_id.encode()))
    os.close(writing)
    with os.fdopen(reading) as ids:
        theirs = ids.read()
    os.waitpid(child, 0)
    assert len(theirs) == len(starts(tracer, 1)[0].trace_id)
    assert theirs not in {identity.trace_id for identity in starts(tracer, SPANS)}


class _Unspeakable(Exception):  # noqa: N818 - it is no error of a program
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("broken", [{"value": _Unspeakable()}, {}])
def test_an_opentelemetry_span_ends_whatever_is_told_of_it(broken):
    """A value or an error without text must not leave an ended piece of work as the parent of all that follows."""
    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    span = OtelTracer(provider, "1").start("work", "internal", {})
    with pytest.raises(RuntimeError, match="no text"):
        span.end("error", _Unspeakable(), broken)
    assert [span.name for span in exported.get_finished_spans()] == ["work"]
    assert (context.span(), trace.get_current_span()) == (None, trace.INVALID_SPAN)


def test_an_opentelemetry_span_that_ends_elsewhere_says_nothing(caplog):
    """OpenTelemetry logs an error with a traceback when a generator's span is closed by another task."""
    span = copy_context().run(OtelTracer(TracerProvider(), "1").start, "work", "internal", {})
    with caplog.at_level(logging.DEBUG):
        span.end("cancelled", None, {})
    assert caplog.records == []
