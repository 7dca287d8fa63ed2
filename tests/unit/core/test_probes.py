"""What is asked for at scrape time: queues, confirmations and pools, whatever one of them does."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from botmetry import LogSettings, QueueState, Telemetry


@pytest.fixture
def telemetry():
    return Telemetry("shop-bot", log=LogSettings(output="none"))


def values(telemetry, name):
    return {
        tuple(sample.labels.values()): sample.value
        for family in parse(telemetry.render().decode())
        for sample in family.samples
        if sample.name == name
    }


async def test_an_empty_queue_is_an_explicit_zero(telemetry):
    """Absence and emptiness are told apart."""

    async def probe():
        return QueueState(dead=2)

    telemetry.queue.watch("ai", probe)
    await telemetry.refresh()
    assert values(telemetry, "queue_size") == {
        ("ai", "ready"): 0,
        ("ai", "delayed"): 0,
        ("ai", "in_flight"): 0,
        ("ai", "dead"): 2,
    }
    assert values(telemetry, "queue_oldest_task_age_seconds") == {("ai",): 0}
    assert values(telemetry, "queue_tasks_dead_lettered_total") == {("ai",): 0}


async def test_a_probe_that_fails_takes_its_values_away_and_hinders_no_other(telemetry):
    """An old size is worse than none; the failure is counted."""
    states = [QueueState(ready=5), ConnectionError("gone"), QueueState(ready=7)]

    async def probe():
        state = states.pop(0)
        if isinstance(state, Exception):
            raise state
        return state

    async def pending():
        return 3

    telemetry.queue.watch("ai", probe)
    telemetry.confirmations.watch(pending)
    await telemetry.refresh()
    assert values(telemetry, "queue_size")["ai", "ready"] == 5
    await telemetry.refresh()
    assert values(telemetry, "queue_size") == {}
    assert values(telemetry, "confirmations_pending") == {(): 3}
    assert values(telemetry, "telemetry_errors_total") == {("queue.watch.ai",): 1}
    await telemetry.refresh()
    assert values(telemetry, "queue_size")["ai", "ready"] == 7


async def test_a_probe_that_hangs_is_given_up(telemetry):
    """A scrape does not wait for ever."""
    telemetry.at_scrape(asyncio.Event().wait, name="hangs", timeout=0.01)
    await telemetry.refresh()
    assert values(telemetry, "telemetry_errors_total") == {("hangs",): 1}


async def test_the_pools_of_a_program_add_up_and_can_be_taken_back(telemetry):
    """Two pools are one gauge; a pool that is gone leaves a 0."""
    telemetry.database.watch_pool(lambda: {"idle": 2, "in_use": 1})
    undo = telemetry.database.watch_pool(lambda: {"idle": 3, "max": 10})
    await telemetry.refresh()
    assert values(telemetry, "db_pool_connections") == {("idle",): 5, ("in_use",): 1, ("max",): 10}
    undo()
    await telemetry.refresh()
    assert values(telemetry, "db_pool_connections") == {("idle",): 2, ("in_use",): 1, ("max",): 0}


async def test_functions_without_a_name_of_their_own_do_not_replace_each_other(telemetry):
    """Two lambdas are two, and so is one method of two objects; the same one is run once."""
    runs = []

    class Pool:
        def refresh(self):
            runs.append(self)

    first, second = Pool(), Pool()
    for pool in (first, second, first):
        telemetry.at_scrape(pool.refresh)
    for number in (1, 2):
        telemetry.at_scrape(lambda number=number: runs.append(number))
    telemetry.at_scrape(lambda: runs.append("old"), name="named")
    telemetry.at_scrape(lambda: runs.append("new"), name="named")
    await telemetry.refresh()
    assert runs == [first, second, 1, 2, "new"]


async def test_a_probe_whose_own_work_was_cancelled_is_a_failed_one(telemetry):
    """What a probe waits for may be cancelled by its library; the scrape is not, and is answered."""

    async def probe():
        raise asyncio.CancelledError

    telemetry.at_scrape(probe, name="pool")
    await telemetry.refresh()
    assert values(telemetry, "telemetry_errors_total") == {("pool",): 1}

    async def wait():
        await asyncio.Event().wait()

    telemetry.at_scrape(wait, name="pool", timeout=60)
    scrape = asyncio.create_task(telemetry.refresh())
    await asyncio.sleep(0)
    scrape.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scrape
