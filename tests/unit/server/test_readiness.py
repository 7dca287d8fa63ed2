"""Readiness is what the checks say, in the time they are given."""

from __future__ import annotations

import asyncio
import sys
import threading
from functools import partial

from botmetry.server.readiness import Readiness


def censor(text: str) -> str:
    return text.replace("hunter2", "…")


async def fine():
    return None


async def broken():
    raise ConnectionError("redis://:hunter2@cache:6379 does not answer")


async def test_without_checks_it_is_ready(source):
    """A program that registered no check is ready."""
    report = await Readiness(source, censor).report()

    assert report.as_json() == {"status": "ready", "checks": {}}


async def test_one_failing_check_makes_it_not_ready(source, make_check):
    """One failure is enough; each check is shown with its own result, its error without secrets."""
    source.checks = {"database": make_check(fine), "redis": make_check(broken)}

    report = (await Readiness(source, censor).report()).as_json()

    assert report["status"] == "not ready"
    assert report["checks"]["database"]["ok"] is True
    assert report["checks"]["database"]["error"] is None
    assert report["checks"]["redis"]["ok"] is False
    assert report["checks"]["redis"]["error"] == "ConnectionError: redis://:…@cache:6379 does not answer"
    assert report["checks"]["redis"]["duration_seconds"] >= 0


async def test_a_check_that_hangs_is_cut_off_after_its_timeout(source, make_check):
    """A check that never answers is cancelled and reported with the time it was given."""
    cancelled = asyncio.Event()

    async def hang():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    source.checks = {"slow": make_check(hang, timeout=0.02)}

    report = await Readiness(source, censor).report()

    assert report.checks["slow"].error == "no answer within 0.02 s"
    assert cancelled.is_set()


async def test_a_timeout_of_the_check_itself_is_told_apart(source, make_check):
    """A TimeoutError that the check raises is shown as what it is, not as our own timeout."""

    async def late():
        raise TimeoutError("the database took too long")

    source.checks = {"database": make_check(late)}

    report = await Readiness(source, censor).report()

    assert report.checks["database"].error == "TimeoutError: the database took too long"


async def test_checks_run_at_the_same_time(source, make_check):
    """Two checks that wait for each other both pass, so they run concurrently."""
    barrier = asyncio.Barrier(2)
    source.checks = {"a": make_check(barrier.wait), "b": make_check(barrier.wait)}

    assert (await Readiness(source, censor).report()).ready


async def test_a_plain_function_runs_in_a_thread(source, make_check):
    """A blocking check does not block the event loop."""
    seen: list[int] = []
    source.checks = {"disk": make_check(lambda: seen.append(threading.get_ident()))}

    assert (await Readiness(source, censor).report()).ready
    assert seen
    assert seen != [threading.get_ident()]


async def test_a_plain_function_may_return_an_awaitable(source, make_check):
    """A partial or lambda around a coroutine function is awaited, and its failure counts."""
    source.checks = {"redis": make_check(partial(lambda ask: ask(), broken))}

    assert not (await Readiness(source, censor).report()).ready


async def test_a_blocking_check_that_hangs_costs_one_thread(source, make_check):
    """Further probes wait for the hanging call instead of starting another one each."""
    go_on = threading.Event()
    calls: list[None] = []

    def hang():
        calls.append(None)
        assert go_on.wait(60)

    source.checks = {"disk": make_check(hang, timeout=0.02)}
    readiness = Readiness(source, censor)
    try:
        for _ in range(3):
            assert not (await readiness.report()).ready
        assert len(calls) == 1
    finally:
        go_on.set()


async def test_simultaneous_probes_share_one_run(source, make_check):
    """Probes that arrive together ask the database once."""
    go_on, asked, calls = asyncio.Event(), asyncio.Event(), []

    async def counted():
        calls.append(None)
        asked.set()
        await go_on.wait()

    source.checks = {"database": make_check(counted)}
    readiness = Readiness(source, censor)
    probes = [asyncio.create_task(readiness.report()) for _ in range(3)]
    await asked.wait()
    go_on.set()

    assert [report.ready for report in await asyncio.gather(*probes)] == [True, True, True]
    assert len(calls) == 1


async def test_a_check_may_say_no_by_returning_false(source, make_check):
    """Many clients answer a ping with True or False; a check that can never fail would say nothing."""

    async def refused():
        return False

    source.checks = {
        "plain": make_check(lambda: False),
        "async": make_check(refused),
        "wrapped": make_check(partial(lambda ask: ask(), refused)),
        "nothing": make_check(lambda: 0),
    }

    report = await Readiness(source, censor).report()

    assert {name: result.error for name, result in report.checks.items()} == {
        "plain": "returned False",
        "async": "returned False",
        "wrapped": "returned False",
        "nothing": None,
    }


async def test_a_check_whose_own_work_was_cancelled_has_failed(source, make_check):
    """What a check waits for may be cancelled by its library; who asks still gets an answer."""

    async def cancelled():
        raise asyncio.CancelledError

    source.checks = {"pool": make_check(cancelled), "other": make_check(fine)}

    report = await Readiness(source, censor).report()

    assert report.checks["pool"].error == "CancelledError"
    assert report.checks["other"].ok


async def test_a_check_that_ends_its_thread_has_failed(source, make_check):
    """`sys.exit` in a check is its failure, and not the end of the program."""
    source.checks = {"tool": make_check(partial(sys.exit, "no tool"))}

    report = await Readiness(source, censor).report()

    assert report.checks["tool"].error == "RuntimeError: SystemExit: no tool"
