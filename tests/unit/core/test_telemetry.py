"""The façade: what a user can say, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families as parse

from botmetry import LogSettings, MetricError, SettingsError, Telemetry
from botmetry.metrics import CATALOGUE
from botmetry.telemetry.active_users import ActiveUsers


@pytest.fixture
def telemetry():
    return Telemetry("shop-bot", log=LogSettings(output="none"))


def test_importing_starts_nothing_and_reads_nothing():
    """No thread, no socket, no environment, no client library at import or construction."""
    program = (
        "import os, sys, threading, socket\n"
        "class Refuse(dict):\n"
        "    def __getitem__(self, key): raise AssertionError(key)\n"
        "    def get(self, key, default=None):\n"
        "        assert not key.startswith(('BOTMETRY', 'OTEL')), key\n"
        "        return default\n"
        "os.environ = Refuse()\n"
        "from botmetry import Telemetry\n"
        "Telemetry('shop-bot')\n"
        "assert threading.active_count() == 1\n"
        "loaded = {'aiogram', 'aiohttp', 'asyncpg', 'openai', 'opentelemetry', 'redis'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("service", ["", "Shop", "shop bot", "-x", "1shop"])
def test_a_service_name_that_queries_could_not_use_is_refused(service):
    """The error shows the name and an example."""
    with pytest.raises(SettingsError, match="shop-bot"):
        Telemetry(service)


def test_a_name_of_the_catalogue_cannot_be_declared_again(telemetry):
    """A user's metric cannot change what rules and dashboards rely on."""
    with pytest.raises(MetricError, match="catalogue"):
        telemetry.counter("bot_updates_total", "Mine.")
    with pytest.raises(MetricError, match="labels"):
        telemetry.counter("mine_total", "Mine.", labels="band")


def test_every_metric_of_the_catalogue_is_exposed_with_its_type(telemetry):
    """What the table lists exists, and nothing else does."""
    telemetry.bot.command("start")
    exposed = {family.name: family.type for family in parse(telemetry.render().decode())}
    types = {"info": "gauge"}
    expected = {
        (spec.name if spec.kind == "info" else spec.base): types.get(spec.kind, spec.kind)
        for spec in CATALOGUE.values()
    }
    assert exposed == expected


def test_the_environment_is_read_only_where_it_is_asked_for():
    """BOTMETRY_* and OTEL_* make a Telemetry, options win, and a wrong value names its variable."""
    environ = {"OTEL_SERVICE_NAME": "shop", "BOTMETRY_PORT": "9100", "BOTMETRY_LOG_OUTPUT": "none"}
    made = Telemetry.from_env(environ, version="2")
    assert (made.service, made.version, made.settings.server.port) == ("shop", "2", 9100)
    assert Telemetry.from_env({"BOTMETRY_LOG_OUTPUT": "none"}, service="mine").service == "mine"
    for name, value in (
        ("BOTMETRY_PORT", "many"),
        ("BOTMETRY_SERIES_LIMIT", "-"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("BOTMETRY_BASIC_AUTH", "nobody"),
    ):
        with pytest.raises(SettingsError, match=name):
            Telemetry.from_env({"OTEL_SERVICE_NAME": "shop", name: value})
    with pytest.raises(SettingsError, match="BOTMETRY_SERVICE"):
        Telemetry.from_env({})


def test_a_failure_of_the_telemetry_is_counted_each_time_and_logged_once_a_place(tmp_path):
    """A broken hook in a hot path does not fill the log."""
    path = tmp_path / "log.jsonl"
    telemetry = Telemetry("shop-bot", log=LogSettings(output=str(path)))
    for number in range(3):
        telemetry.ai.confidence("categorize", 1.5 + number)
    telemetry.close()
    assert b'telemetry_errors_total{component="ai.confidence"} 3' in telemetry.render()
    assert path.read_text().count('"event":"telemetry.failed"') == 1


def test_spans_reach_an_opentelemetry_provider_and_exemplars_point_to_them():
    """Real spans, nested, with the outcome; the histogram's exemplar carries the trace id."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    telemetry = Telemetry("shop-bot", log=LogSettings(output="none"), tracer_provider=provider)
    with (
        pytest.raises(ValueError, match="no"),
        telemetry.bot.command("pay"),
        telemetry.database.query("SELECT", "t"),
    ):
        raise ValueError("no")
    query, command = spans.get_finished_spans()
    assert (query.name, command.name) == ("SELECT t", "bot.command pay")
    assert query.parent.span_id == command.context.span_id
    assert (command.attributes["command"], command.attributes["outcome"]) == ("pay", "error")
    trace_id = f"{command.context.trace_id:032x}"
    assert f'# {{trace_id="{trace_id}"' in telemetry.render(openmetrics=True).decode()


def test_a_message_from_another_process_is_the_parent_of_an_opentelemetry_span():
    """The worker's span hangs below the bot's."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    worker = Telemetry("shop-worker", log=LogSettings(output="none"), tracer_provider=provider)
    carrier = {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"}
    with worker.continue_from(carrier), worker.queue.task("ai", "categorize"):
        pass
    (span,) = spans.get_finished_spans()
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == ("ab" * 16, "cd" * 8)


def test_active_users_are_exact_below_the_capacity_and_close_above():
    """Memory is bounded, the estimate within five standard errors, and windows forget."""
    now = 0.0
    users = ActiveUsers(clock=lambda: now, capacity=1_000)
    for user in range(900):
        users.seen(user)
        users.seen(user)
    assert users.count(300) == 900
    for user in range(50_000):
        users.seen(user)
    assert abs(users.count(300) - 50_000) < 5 * 50_000 * 1.2 / 1_000**0.5
    now = 301.0
    users.seen("late")
    assert users.count(300) <= 128
    assert users.count(86_400) > 40_000
