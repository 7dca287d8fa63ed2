"""Sagas: begun, taken over, undone, ended."""

from __future__ import annotations

import json
import os

import pytest

from botmetry import LogSettings, Telemetry
from botmetry.telemetry.saga import SagaCensus

from ...untraced import fork  # noqa: TID252 -- the tests are no package on any path


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


async def test_what_the_store_says_is_shown_at_each_scrape(telemetry):
    """Every state of a saga that is not over has its number, 0 too; while the store is silent nothing old is shown."""
    found: list[SagaCensus | Exception] = [
        SagaCensus(running=2, suspended=1, overdue_seconds=7.5),
        ConnectionError("gone"),
        SagaCensus(),
    ]

    async def probe() -> SagaCensus:
        said = found.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    undo = telemetry.saga.watch("purchase", probe)
    assert samples(telemetry, "saga_started_total") == {'saga_started_total{saga="purchase"}': 0.0}
    await telemetry.refresh()
    states = ("idle", "running", "waiting", "compensating", "suspended", "compensation_failed")
    numbers = dict.fromkeys(states, 0.0) | {"running": 2.0, "suspended": 1.0}
    assert samples(telemetry, "saga_size") == {
        f'saga_size{{saga="purchase",state="{state}"}}': number for state, number in numbers.items()
    }
    assert samples(telemetry, "saga_overdue_seconds") == {'saga_overdue_seconds{saga="purchase"}': 7.5}

    await telemetry.refresh()
    assert samples(telemetry, "saga_size") == samples(telemetry, "saga_overdue_seconds") == {}
    failures = samples(telemetry, "telemetry_errors_total")
    assert failures['telemetry_errors_total{component="saga.watch.purchase"}'] == 1.0
    await telemetry.refresh()
    assert set(samples(telemetry, "saga_size").values()) == {0.0}
    assert samples(telemetry, "saga_overdue_seconds") == {'saga_overdue_seconds{saga="purchase"}': 0.0}

    undo()
    await telemetry.refresh()
    assert samples(telemetry, "saga_size") == {}


async def test_who_watches_last_is_asked(telemetry):
    """A second probe for a name replaces the first, whose undo then changes nothing."""

    async def first() -> SagaCensus:
        return SagaCensus(idle=1)

    async def second() -> SagaCensus:
        return SagaCensus(idle=2)

    undo = telemetry.saga.watch("purchase", first)
    telemetry.saga.watch("purchase", second)
    undo()
    await telemetry.refresh()
    assert samples(telemetry, "saga_size")['saga_size{saga="purchase",state="idle"}'] == 2.0


def test_a_saga_that_was_taken_over_is_counted(telemetry):
    """It is in progress here no more, and the counter of such sagas exists with 0 from the first one begun."""
    telemetry.saga.started("purchase")
    assert samples(telemetry, "saga_ownership_lost_total") == {
        'saga_ownership_lost_total{saga="purchase"}': 0.0
    }
    telemetry.saga.lost("purchase")
    assert samples(telemetry, "saga_ownership_lost_total") == {
        'saga_ownership_lost_total{saga="purchase"}': 1.0
    }
    assert samples(telemetry, "saga_in_progress") == {'saga_in_progress{saga="purchase"}': 0.0}


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
    telemetry = Telemetry("shop-bot", prefork=True, log=LogSettings(output="none"))
    telemetry.saga.started("purchase")
    ready, stop = os.pipe(), os.pipe()

    def live():
        telemetry.saga.started("purchase")
        os.write(ready[1], b".")
        os.read(stop[0], 1)

    pid = fork(live)
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
