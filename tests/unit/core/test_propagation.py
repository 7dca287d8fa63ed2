"""Trace and context cross to another process and back."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botmetry import context, tracing
from botmetry.tracing.propagation import MAX_FIELDS_BYTES


def test_what_a_message_carries_is_current_on_the_other_side():
    """The worker's log lines have the bot's trace id and user."""
    tracer = tracing.IdentityTracer()
    span = tracer.start("bot.command", "server", {})
    with context.scope(user_id=7, command="balance"):
        message = tracing.carrier()
    span.end("ok", None, {})
    assert context.span() is None
    with tracing.continue_from(message):
        assert context.span() == span.identity
        assert dict(context.fields()) == {"user_id": 7, "command": "balance"}
        inner = tracer.start("queue.task", "consumer", {})
        assert inner.identity.trace_id == span.identity.trace_id
        inner.end("ok", None, {})
    assert (context.span(), dict(context.fields())) == (None, {})


def test_without_work_at_hand_a_message_carries_nothing():
    """An empty carrier restores nothing."""
    assert tracing.carrier() == {}
    with tracing.continue_from({}):
        assert context.span() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
        " FF-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "00-1-2-01",
    ],
)
def test_a_traceparent_that_names_no_span_is_ignored(text):
    """Zero ids and the version ff are invalid by W3C Trace Context."""
    assert tracing.parse_traceparent(text) is None


@given(st.text(), st.text())
def test_whatever_a_message_brings_nothing_breaks(traceparent, fields):
    """A stranger's message cannot break the worker."""
    with tracing.continue_from({"traceparent": traceparent, "botmetry-context": fields}):
        pass


def test_a_document_in_the_context_stays_behind():
    """Fields longer than the limit are not sent along."""
    with context.scope(text="x" * MAX_FIELDS_BYTES):
        assert tracing.carrier() == {}


async def test_a_task_inherits_the_context_and_a_sibling_does_not_see_it():
    """Context follows the task that it was bound in."""
    seen = {}

    async def child(name):
        seen[name] = dict(context.fields())
        await asyncio.sleep(0)

    async def parent():
        with context.scope(user_id=7):
            await asyncio.create_task(child("inside"))

    await asyncio.gather(parent(), child("beside"))
    assert seen == {"inside": {"user_id": 7}, "beside": {}}


class _Unspeakable:
    def __str__(self):
        raise RuntimeError("no text")


def test_a_field_that_cannot_travel_keeps_no_other_from_it():
    """JSON has no large integers, lone surrogates or cycles; the host that makes a message must not notice."""
    cycle = []
    cycle.append(cycle)
    with context.scope(user_id=7, big=2**70, lone="\ud800", cycle=cycle, bad=_Unspeakable(), kind={1}):
        message = tracing.carrier()
    with tracing.continue_from(message):
        assert dict(context.fields()) == {
            "user_id": 7,
            "big": str(2**70),
            "lone": "\\ud800",
            "cycle": "[[...]]",
            "kind": "{1}",
        }


@pytest.mark.parametrize(
    "brought",
    [
        None,
        "text",
        {"traceparent": None},
        {"traceparent": 5, "botmetry-context": 5},
        {"botmetry-context": None},
    ],
)
def test_what_is_no_carrier_is_left_out(brought):
    """A message of an older producer has none, and a stranger's may have anything in its place."""
    with tracing.continue_from(brought):
        assert (context.span(), dict(context.fields())) == (None, {})


def test_a_carrier_of_bytes_is_read():
    """redis-py gives bytes unless told otherwise."""
    with tracing.continue_from(
        {"traceparent": b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01", "botmetry-context": b'{"user_id":7}'}
    ):
        assert context.span() == ("1" * 32, "2" * 16, True)
        assert dict(context.fields()) == {"user_id": 7}
