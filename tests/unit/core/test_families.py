"""What the families are told, they count; what cannot be counted never reaches the program that told it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from botmetry import LogSettings, Telemetry

CALLS = {
    "ai.confidence": lambda told, value: told.ai.confidence("categorize", value),
    "metrics.ai_tokens_total": lambda told, value: told.ai.tokens("m", value, 3),
    "metrics.ai_cost_usd_total": lambda told, value: told.ai.cost("m", value),
    "metrics.bot_api_retry_after_seconds_total": lambda told, value: told.bot.retry_after(value),
    "metrics.queue_tasks_enqueued_total": lambda told, value: told.queue.enqueued("ai", "t", value),
    "metrics.queue_tasks_recovered_total": lambda told, value: told.queue.recovered("ai", value),
    "metrics.transactions_synced_total": lambda told, value: told.transactions.synced("csv", value),
}
TIMES = {
    "metrics.bot_polling_lag_seconds": lambda told, value: told.bot.polling_lag(value),
    "metrics.queue_task_wait_seconds": lambda told, value: told.queue.waited("ai", value),
    "metrics.celery_task_wait_seconds": lambda told, value: told.celery.waited("default", value),
    "metrics.confirmation_wait_seconds": lambda told, value: told.confirmations.resolved("expired", value),
}


@pytest.fixture
def telemetry():
    return Telemetry("shop-bot", log=LogSettings(output="none"))


def failures(telemetry):
    errors = telemetry.registry.metrics()[0]
    assert errors.spec.name == "telemetry_errors_total"
    return {component: series.value() for (component,), series in errors.series()}


@pytest.mark.parametrize("value", [-1, "many", b"1", [], float("nan")])
@pytest.mark.parametrize("component", CALLS)
def test_an_amount_that_cannot_be_counted_is_a_failure_of_the_telemetry(telemetry, component, value):
    """A model's API that reports nonsense, or a clock that was set back, does not end a handler."""
    CALLS[component](telemetry, value)
    assert failures(telemetry) == {component: 1}


@pytest.mark.parametrize("component", TIMES)
def test_a_time_that_is_none_is_a_failure_of_the_telemetry_and_a_negative_one_is_zero(telemetry, component):
    """Clocks that disagree are usual; a text or a list is not."""
    TIMES[component](telemetry, -5.0)
    assert failures(telemetry) == {}
    TIMES[component](telemetry, [])
    assert failures(telemetry) == {component: 1}


@pytest.mark.parametrize("confidence", [0.5, 1, Fraction(1, 2), Decimal("0.5")])
def test_a_confidence_may_be_any_kind_of_number(telemetry, confidence):
    """JSON read with decimals, and numpy, have kinds of their own."""
    telemetry.ai.task("categorize")(lambda: {"confidence": confidence})()
    assert 'ai_confidence_ratio_count{task="categorize"} 1\n' in telemetry.render().decode()
    assert failures(telemetry) == {}
