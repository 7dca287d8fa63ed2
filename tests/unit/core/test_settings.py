"""Options that cannot be used are refused where they are given, by the name under which they were given."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider

from botmetry import LogSettings, ServerSettings, SettingsError, Telemetry, TelemetrySettings, TracingSettings
from botmetry.settings import settings_from_env
from botmetry.tracing import provider_from_settings

ENDPOINT = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: LogSettings(level="INFO"), "level"),
        (lambda: LogSettings(output=""), "output"),
        (lambda: LogSettings(redact_keys="pin"), "redact_keys"),
        (lambda: LogSettings(user_id_key=""), "user_id_key"),
        (lambda: LogSettings(buffer_bytes="8 MiB"), "buffer_bytes"),
        (lambda: ServerSettings(port="8000"), "port"),
        (lambda: ServerSettings(port=65_536), "port"),
        (lambda: ServerSettings(bearer_token=""), "bearer_token"),
        (lambda: ServerSettings(basic_auth="user:password"), "basic_auth"),
        (lambda: ServerSettings(basic_auth=("a:b", "c")), "basic_auth"),
        (lambda: ServerSettings(basic_auth=("", "c")), "basic_auth"),
        (lambda: ServerSettings(max_concurrency=0), "max_concurrency"),
        (lambda: ServerSettings(header_timeout_seconds=0), "header_timeout_seconds"),
        (lambda: ServerSettings(header_timeout_seconds=float("nan")), "header_timeout_seconds"),
        (lambda: ServerSettings(max_request_bytes=0), "max_request_bytes"),
        (lambda: TracingSettings(sample_ratio="half"), "sample_ratio"),
        (lambda: TelemetrySettings(service=None), "service"),
        (lambda: TelemetrySettings(service="shop", series_limit="5"), "series_limit"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(make, option):
    """Also one of the wrong type, and one that would quietly protect nothing, such as an empty token."""
    with pytest.raises(SettingsError, match=rf"^{option}=") as caught:
        make()
    assert caught.value.name == option


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOTMETRY_SERVICE", "Shop Bot"),
        ("BOTMETRY_PORT", "65536"),
        ("BOTMETRY_LOG_LEVEL", "verbose"),
        ("BOTMETRY_SERIES_LIMIT", "0"),
        ("OTEL_TRACES_SAMPLER_ARG", "2.5"),
    ],
)
def test_a_variable_whose_value_cannot_be_used_is_named_as_it_was_set(variable, value):
    """Who runs the program knows its environment, and not the options of a class."""
    environ = {"BOTMETRY_SERVICE": "shop-bot", "OTEL_TRACES_SAMPLER": "traceidratio", variable: value}
    with pytest.raises(SettingsError, match=f"^{variable}='{value}'") as caught:
        Telemetry.from_env(environ)
    assert (caught.value.name, caught.value.value) == (variable, value)


def test_the_name_of_opentelemetry_is_blamed_when_it_was_the_one_that_counted():
    """`OTEL_SERVICE_NAME` stands in where ours is not set."""
    with pytest.raises(SettingsError, match="^OTEL_SERVICE_NAME='Shop Bot'"):
        Telemetry.from_env({"OTEL_SERVICE_NAME": "Shop Bot"})


def test_a_secret_is_not_in_the_error_that_it_caused():
    """A process that fails to start prints its error, and the platform keeps it."""
    with pytest.raises(SettingsError) as caught:
        Telemetry.from_env(
            {
                "BOTMETRY_SERVICE": "a",
                "BOTMETRY_BEARER_TOKEN": "hunter2",
                "BOTMETRY_BASIC_AUTH": "user:hunter2",
            }
        )
    assert "hunter2" not in str(caught.value)


def tracing_of(**variables):
    """The settings that `OTEL_*` make."""
    environ = {"BOTMETRY_SERVICE": "shop-bot", "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, **variables}
    return settings_from_env(environ).tracing


@pytest.mark.parametrize(
    ("variables", "recorded"),
    [
        ({}, (True, True, False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, (True, True, False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, (False, True, False)),
        ({"OTEL_TRACES_SAMPLER": "ParentBased_TraceIdRatio"}, (True, True, False)),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
            (False, True, False),
        ),
        ({"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "none"}, (True, True, True)),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, (False, False, False)),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, (True, True, True)),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, (False, False, False)),
    ],
)
def test_a_sampler_means_what_opentelemetry_says(variables, recorded):
    """Whether a root, the child of a sampled span and that of one which is not are recorded."""
    provider = provider_from_settings("shop-bot", "", tracing_of(**variables))
    try:
        tracer = provider.get_tracer("test")
        around = [
            trace.set_span_in_context(
                trace.NonRecordingSpan(
                    trace.SpanContext(0xAB, 0xCD, is_remote=True, trace_flags=trace.TraceFlags(flags))
                )
            )
            for flags in (1, 0)
        ]
        spans = [tracer.start_span("work", parent) for parent in (Context(), *around)]
        assert tuple(span.is_recording() for span in spans) == recorded
    finally:
        provider.shutdown()


@pytest.mark.parametrize(
    ("variable", "value", "choices"),
    [
        ("OTEL_TRACES_EXPORTER", "console", "one of otlp, none$"),
        ("OTEL_TRACES_EXPORTER", "otlp,console", "one of otlp, none$"),
        (
            "OTEL_TRACES_SAMPLER",
            "xray",
            "one of always_on, always_off, traceidratio, parentbased_always_on, ",
        ),
    ],
)
def test_what_is_not_supported_of_opentelemetry_is_named_with_what_is(variable, value, choices):
    """Spans went over OTLP although somebody had asked for something else."""
    with pytest.raises(SettingsError, match=f"^{variable}='{value}' cannot be used: expected {choices}"):
        tracing_of(**{variable: value})


def test_variables_for_a_provider_of_the_programs_own_are_none_of_ours():
    """Its SDK reads the same variables and knows more than we support."""
    environ = {
        "BOTMETRY_SERVICE": "shop-bot",
        "BOTMETRY_LOG_OUTPUT": "none",
        "OTEL_TRACES_EXPORTER": "console",
    }
    assert Telemetry.from_env(environ, tracer_provider=TracerProvider()).tracer.exports


@pytest.mark.parametrize("value", ["true", "TRUE", " True "])
def test_a_disabled_sdk_exports_nothing(value):
    """Nor does the exporter `none`."""
    assert tracing_of(OTEL_SDK_DISABLED=value, OTEL_TRACES_EXPORTER="console").endpoint is None
    assert tracing_of(OTEL_TRACES_EXPORTER="None").endpoint is None


@pytest.mark.parametrize("value", ["false", "1", "yes", "on", "perhaps", ""])
def test_the_sdk_is_disabled_by_true_alone(value):
    """OpenTelemetry's specification takes anything else for false."""
    assert tracing_of(OTEL_SDK_DISABLED=value).endpoint == ENDPOINT
