"""Options that cannot be used are refused where they are given, by the name under which they were given."""

from __future__ import annotations

import pytest

from botmetry import LogSettings, ServerSettings, SettingsError, Telemetry, TelemetrySettings, TracingSettings


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
