"""Spans that the program's own OpenTelemetry instrumentation made: the log and messages belong to them as well."""

from __future__ import annotations

import logging
import subprocess
import sys

import orjson
import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from botmetry import LogSettings, Telemetry

MESSAGE = {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"}


@pytest.fixture
def exported():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exported):
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(exported))
    return made


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def telemetry(provider, path):
    return Telemetry("shop-bot", log=LogSettings(output=str(path)), tracer_provider=provider)


@pytest.fixture
def their(provider):
    """The tracer of the program's own instrumentation."""
    return provider.get_tracer("theirs")


def ids(span):
    """A span's ids as a line has them."""
    context = span.get_span_context()
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


def written(telemetry, path):
    """The ids of the lines, in order, with their events."""
    telemetry.close()
    lines = map(orjson.loads, path.read_bytes().splitlines())
    return [(line["event"], (line["trace_id"], line["span_id"])) for line in lines]


def sent(telemetry):
    """The ids that a message would carry."""
    return tuple(telemetry.carrier()["traceparent"].split("-")[1:3])


def test_lines_records_and_messages_carry_the_ids_of_a_span_of_theirs(telemetry, their, path):
    """No operation of ours is around it."""
    undo = telemetry.capture_logging()
    try:
        with their.start_as_current_span("request") as span:
            telemetry.log.info("order.paid")
            logging.getLogger("shop").warning("slow")
            message = sent(telemetry)
        telemetry.log.info("order.forgotten")
    finally:
        undo()
    assert message == ids(span)
    assert telemetry.carrier() == {}
    assert written(telemetry, path) == [
        ("order.paid", ids(span)),
        ("log.recorded", ids(span)),
        ("order.forgotten", (None, None)),
    ]


def test_the_innermost_span_counts_whosever_it_is(telemetry, their, exported, path):
    """Theirs in ours in theirs, and back out; a root of theirs, and what came with a message, likewise."""
    expected = []

    def tell(event, span_ids):
        telemetry.log.info(event)
        assert sent(telemetry) == span_ids
        expected.append((event, span_ids))

    with their.start_as_current_span("outer") as outer:
        with telemetry.bot.command("pay"):
            ours = ids(trace.get_current_span())
            tell("a.ours", ours)
            with their.start_as_current_span("inner") as inner:
                tell("a.inner", ids(inner))
            with their.start_as_current_span("root", context=Context()) as root:
                tell("a.root", ids(root))
                with telemetry.database.query("SELECT", "orders"):
                    pass
            with telemetry.continue_from(MESSAGE):
                tell("a.message", ("ab" * 16, "cd" * 8))
                with their.start_as_current_span("consume") as consume:
                    tell("a.consume", ids(consume))
            tell("a.ours_again", ours)
        expected.append(("bot.request_handled", ours))
        tell("a.outer", ids(outer))
    assert written(telemetry, path) == expected
    spans = {span.name: span for span in exported.get_finished_spans()}
    assert spans["bot.command pay"].parent.span_id == outer.get_span_context().span_id
    assert spans["SELECT orders"].parent.span_id == root.get_span_context().span_id
    assert f"{spans['consume'].parent.trace_id:032x}" == "ab" * 16


def test_a_telemetry_that_exports_nothing_keeps_to_its_own_spans(their, path):
    """It pays nothing for OpenTelemetry, not even its import."""
    telemetry = Telemetry("shop-bot", log=LogSettings(output=str(path)))
    with their.start_as_current_span("request"):
        telemetry.log.info("order.paid")
        assert telemetry.carrier() == {}
    assert written(telemetry, path) == [("order.paid", (None, None))]
    program = (
        "import sys\n"
        "from botmetry import Telemetry\n"
        "telemetry = Telemetry('shop-bot')\n"
        "telemetry.log.info('order.paid')\n"
        "with telemetry.continue_from({'traceparent': '00-' + 'ab' * 16 + '-' + 'cd' * 8 + '-01'}):\n"
        "    assert telemetry.carrier()['traceparent'].startswith('00-abab')\n"
        "assert 'opentelemetry' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True)
