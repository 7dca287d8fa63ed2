"""Sagas: begun, taken over, undone, ended."""

from __future__ import annotations

import json

import pytest

from botmetry import LogSettings, Telemetry


@pytest.fixture(name="telemetry")
def _telemetry(tmp_path):
    telemetry = Telemetry("shop-bot", log=LogSettings(level="debug", output=str(tmp_path / "log.jsonl")))
    yield telemetry
    telemetry.close()


def samples(telemetry: Telemetry, family: str) -> dict[str, float]:
    lines = (line for line in telemetry.render().decode().splitlines() if line.startswith(family))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_a_saga_is_in_progress_from_its_start_to_its_end(telemetry):
    """Started minus ended, a saga each, and the outcomes exist with 0 before the first saga ends."""
    telemetry.saga.started("purchase")
    telemetry.saga.started("purchase")
    telemetry.saga.started("refund")
    assert samples(telemetry, "saga_finished_total") == {
        f'saga_finished_total{{saga="{saga}",outcome="{outcome}"}}': 0.0
        for saga in ("purchase", "refund")
        for outcome in ("completed", "aborted", "failed")
    }
    telemetry.saga.finished("purchase", "completed")

    assert samples(telemetry, "saga_in_progress") == {
        'saga_in_progress{saga="purchase"}': 1.0,
        'saga_in_progress{saga="refund"}': 1.0,
    }
    assert samples(telemetry, "saga_started_total")['saga_started_total{saga="purchase"}'] == 2.0


def test_a_saga_that_moves_is_in_progress_in_one_process_and_started_once(telemetry):
    """Who leaves it no longer counts it as its own; who resumes it does, and neither starts it again."""
    other = Telemetry("shop-worker", log=LogSettings(output="none"))
    telemetry.saga.started("purchase")
    telemetry.saga.left("purchase")
    other.saga.resumed("purchase")
    assert samples(telemetry, "saga_in_progress") == {'saga_in_progress{saga="purchase"}': 0.0}
    assert samples(other, "saga_in_progress") == {'saga_in_progress{saga="purchase"}': 1.0}
    other.saga.finished("purchase", "failed")

    assert samples(other, "saga_in_progress") == {'saga_in_progress{saga="purchase"}': 0.0}
    assert samples(other, "saga_started_total") == {}


def test_steps_and_compensations_are_counted_by_outcome(telemetry):
    """A step is timed, a compensation counted, and the counter of failed compensations exists from the first step."""
    with telemetry.saga.step("purchase", "pay"):
        pass
    failed = 'saga_compensations_total{saga="purchase",step="pay",outcome="error"}'
    assert samples(telemetry, "saga_compensations_total")[failed] == 0.0

    @telemetry.saga.compensation("purchase", "pay")
    def give_back() -> None:
        raise OSError("the bank is closed")

    with pytest.raises(OSError, match="closed"):
        give_back()

    assert samples(telemetry, "saga_compensations_total")[failed] == 1.0
    assert samples(telemetry, "saga_steps_total") == {
        'saga_steps_total{saga="purchase",step="pay",outcome="ok"}': 1.0,
        'saga_steps_total{saga="purchase",step="pay",outcome="error"}': 0.0,
    }
    assert samples(telemetry, "saga_step_duration_seconds_count") == {
        'saga_step_duration_seconds_count{saga="purchase",step="pay"}': 1.0
    }


def test_the_life_of_a_saga_can_be_read_in_the_log(telemetry, tmp_path):
    """One event for each turn of it, and everything inside of a step names saga and step."""
    telemetry.saga.started("purchase")
    with telemetry.saga.step("purchase", "pay"):
        telemetry.log.info("money.moved")
    with telemetry.saga.compensation("purchase", "pay"):
        pass
    telemetry.saga.finished("purchase", "aborted")
    telemetry.close()

    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("saga.started", "debug"),
        ("money.moved", "info"),
        ("saga.step_finished", "info"),
        ("saga.compensation_finished", "info"),
        ("saga.finished", "warning"),
    ]
    assert lines[1]["saga"] == "purchase"
    assert lines[1]["step"] == "pay"
    assert lines[-1]["outcome"] == "aborted"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_saga_of_a_forked_process_is_in_progress_until_that_ends(tmp_path):
    """With prefork whoever is scraped shows the sagas of all processes that live."""
    import os  # noqa: PLC0415 - of this test alone

    telemetry = Telemetry("shop-bot", prefork=True, log=LogSettings(output="none"))
    telemetry.saga.started("purchase")
    ready, stop = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        telemetry.saga.started("purchase")
        os.write(ready[1], b".")
        os.read(stop[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    during = samples(telemetry, "saga_in_progress")
    os.write(stop[1], b".")
    os.waitpid(pid, 0)
    after = samples(telemetry, "saga_in_progress")
    for end in (*ready, *stop):
        os.close(end)
    telemetry.close()

    assert during == {'saga_in_progress{saga="purchase"}': 2.0}
    assert after == {'saga_in_progress{saga="purchase"}': 1.0}
