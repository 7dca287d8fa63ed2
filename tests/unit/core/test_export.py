"""Spans are sent when a program closes its telemetry, and an endpoint that is down does not keep it from ending."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from botmetry import LogSettings, Telemetry

PROGRAM = """
import sys, time
from botmetry import LogSettings, Telemetry, TracingSettings
from botmetry.tracing import export

export.FLUSH_SECONDS = 0.5
telemetry = Telemetry("shop-bot", log=LogSettings(output="none"), tracing=TracingSettings(sys.argv[1]))
for _ in range(2_000):
    with telemetry.bot.command("balance"):
        pass
began = time.monotonic()
telemetry.close()
print(time.monotonic() - began)
"""


@pytest.fixture
def silent():
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_program_ends_in_time_although_nobody_takes_its_spans(silent):
    """Its platform gives it 10 to 30 seconds; OpenTelemetry by itself takes 40 to flush, and 30 to end."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, silent], capture_output=True, text=True, timeout=120, check=True
    )
    assert float(done.stdout) < 10
    assert time.monotonic() - began < 30


def test_closing_flushes_and_a_provider_that_fails_is_no_failure_of_the_program():
    """A provider may be anybody's."""
    flushed = []

    class Broken(TracerProvider):
        def force_flush(self, timeout_millis=30_000):
            flushed.append(timeout_millis)
            raise ConnectionError("no collector")

    telemetry = Telemetry("shop-bot", log=LogSettings(output="none"), tracer_provider=Broken())
    telemetry.close()
    telemetry.close()
    assert len(flushed) == 2


def test_a_span_says_no_more_than_the_log_does():
    """Fields and exceptions leave the process there as well: without secrets, and with user ids hashed."""
    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    settings = LogSettings(output="none", redact_keys=("plate",), user_id_key="k")
    telemetry = Telemetry("shop-bot", log=settings, tracer_provider=provider)

    def handle():
        with telemetry.bot.command("balance") as operation:
            operation.set(user_id=7, plate="B-XY 1", attempt=2)
            raise ConnectionError("postgresql://midas:hunter2@db:5432 is down")

    with pytest.raises(ConnectionError):
        handle()
    (span,) = exported.get_finished_spans()
    assert (span.attributes["plate"], span.attributes["attempt"]) == ("[redacted]", 2)
    assert span.attributes["user_id"] == telemetry.log.redactor.hash_user_id("7")
    (event,) = span.events
    assert event.name == "exception"
    assert event.attributes["exception.type"] == "ConnectionError"
    assert event.attributes["exception.message"] == "postgresql://midas:[redacted]@db:5432 is down"
    assert event.attributes["exception.stacktrace"].startswith("Traceback")
    assert "hunter2" not in event.attributes["exception.stacktrace"]
