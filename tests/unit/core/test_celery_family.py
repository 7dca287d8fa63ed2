"""The celery family by itself: states of runs, and the broker as a probe tells it."""

from __future__ import annotations

import pytest
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded

from botmetry import CeleryState, LogSettings, Telemetry


@pytest.fixture(name="telemetry")
def _telemetry():
    telemetry = Telemetry("shop-jobs", log=LogSettings(output="none"))
    yield telemetry
    telemetry.close()


def samples(telemetry: Telemetry, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for family in telemetry.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "succeeded"),
        (ValueError("no"), "failed"),
        (TimeoutError(), "timed_out"),
        (SoftTimeLimitExceeded(), "timed_out"),
        (Retry(), "retried"),
        (Ignore(), "ignored"),
        (Reject(), "rejected"),
        (KeyboardInterrupt(), "revoked"),
    ],
)
def test_what_a_run_raises_says_its_state(telemetry, error, state):
    """Celery ends a run by an exception also where nothing failed."""

    @telemetry.celery.task("tidy", "maintenance")
    def run() -> None:
        if error is not None:
            raise error

    if error is None:
        run()
    else:
        with pytest.raises(type(error)):
            run()

    tasks = samples(telemetry, "celery_tasks_total")
    assert {labels: value for labels, value in tasks.items() if value} == {
        ("tidy", "maintenance", state): 1.0
    }
    assert ("tidy", "maintenance", "failed") in tasks
    assert samples(telemetry, "celery_task_runtime_seconds_count") == {("tidy",): 1.0}


async def test_the_broker_is_shown_as_it_is_now(telemetry):
    """What a later look no longer finds is not shown any more; what fails takes its numbers away."""
    states = [
        CeleryState({("ai", 0): 3, ("ai", 9): 0}, {"ai": 1}, {"online": 2}, {"nightly": 1e9}),
        CeleryState({("ai", 0): 1}, {"ai": 0}, {"online": 1}, {}),
    ]

    async def probe() -> CeleryState:
        return states.pop(0)

    undo = telemetry.celery.watch(probe)
    await telemetry.refresh()
    assert samples(telemetry, "celery_queue_length") == {("ai", "0"): 3.0, ("ai", "9"): 0.0}
    assert samples(telemetry, "celery_beat_last_run_timestamp_seconds") == {("nightly",): 1e9}
    await telemetry.refresh()
    assert samples(telemetry, "celery_queue_length") == {("ai", "0"): 1.0}
    assert samples(telemetry, "celery_beat_last_run_timestamp_seconds") == {}
    assert samples(telemetry, "celery_workers") == {("online",): 1.0}
    await telemetry.refresh()  # there is no third state: the probe fails
    assert samples(telemetry, "celery_workers") == {}
    assert samples(telemetry, "telemetry_errors_total") == {("celery.watch",): 1.0}

    undo()
    await telemetry.refresh()
    assert samples(telemetry, "telemetry_errors_total") == {("celery.watch",): 1.0}


def test_waiting_is_never_negative(telemetry):
    """Clocks that disagree count as 0."""
    telemetry.celery.waited("ai", -5.0)

    assert samples(telemetry, "celery_task_wait_seconds_sum") == {("ai",): 0.0}
