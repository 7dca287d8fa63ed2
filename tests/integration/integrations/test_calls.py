"""Whatever fails in the observation of a call, the call goes on."""

from __future__ import annotations

import pytest

from botmetry.integrations.calls import TimedCall, UntimedCall, Verdict
from botmetry.integrations.inferences import PROVIDERS, provider_at

QUERIES = "db_queries_total"


def no_verdict(_):
    return None


def broken(*_):
    raise RuntimeError("telemetry is broken")


def test_an_exception_without_verdict_is_logged_as_it_is(telemetry, seen, log_lines):
    """An exception that may be quoted is counted and logged with its traceback, and reaches the caller."""
    call = TimedCall(lambda: telemetry.database.query("SELECT", "t"), no_verdict, telemetry.internal_error)
    with pytest.raises(ValueError, match="plain"), call:
        raise ValueError("plain")

    assert seen.nonzero(QUERIES) == {("SELECT", "error", "t"): 1}
    assert "ValueError: plain" in log_lines("db.query_executed")[0]["exception"]


def test_a_verdict_speaks_for_the_exception(telemetry, seen, log_lines):
    """What the verdict says is counted and logged instead of the exception."""
    call = TimedCall(
        lambda: telemetry.database.query("SELECT", "t"),
        lambda _: Verdict("timeout", {"error_type": "Named"}),
        telemetry.internal_error,
    )
    with pytest.raises(ValueError, match="secret"), call:
        raise ValueError("secret")

    assert seen.nonzero(QUERIES) == {("SELECT", "timeout", "t"): 1}
    (line,) = log_lines("db.query_executed")
    assert (line["outcome"], line["error_type"]) == ("timeout", "Named")
    assert "secret" not in repr(line)


@pytest.mark.parametrize("timed", [True, False])
def test_a_judge_that_fails_is_counted_and_quotes_nothing(timed, telemetry, seen, log_lines):
    """When judging an exception fails, the call counts as error without the exception's text."""
    if timed:
        call = TimedCall(lambda: telemetry.database.query("SELECT", "t"), broken, telemetry.internal_error)
    else:
        counter = telemetry.counter("waits_total", "Waits.", ["name", "outcome"])
        call = UntimedCall(counter, "BLPOP", broken, telemetry.internal_error)
    with pytest.raises(ValueError, match="secret"), call:
        raise ValueError("secret")

    name, labels = (QUERIES, ("SELECT", "error", "t")) if timed else ("waits_total", ("BLPOP", "error"))
    assert seen.nonzero(name) == {labels: 1}
    assert seen.value("telemetry_errors_total", component="integrations") == 1
    assert "secret" not in repr(log_lines())


def test_a_counter_that_fails_does_not_reach_the_caller(telemetry, seen):
    """An untimed call whose counting fails is made all the same."""
    wrong = telemetry.counter("waits_total", "Waits.", ["one", "two", "three"])
    with UntimedCall(wrong, "BLPOP", no_verdict, telemetry.internal_error):
        done = True

    assert done
    assert sum(seen.nonzero("telemetry_errors_total").values()) == 1


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1/", "openai"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.perplexity.ai", "perplexity"),
        ("https://my-company.openai.azure.com/openai", "azure.ai.openai"),
        ("http://127.0.0.1:8080/v1", "other"),
        ("https://notapi.openai.com.example/v1", "other"),
        ("https://evilapi.openai.com/v1", "other"),
        ("", "other"),
    ],
)
def test_the_provider_is_found_from_its_address(url, provider):
    """Known hosts give their provider's name, all others are one: the names are bounded."""
    assert provider_at(url) == provider
    assert provider == "other" or provider in PROVIDERS.values()
