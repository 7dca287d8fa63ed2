"""The lag of the event loop is seen when there is one."""

from __future__ import annotations

import asyncio
import time

from botmetry.server.loop_lag import LoopLag


async def test_a_blocked_loop_shows(eventually):
    """A loop that is blocked for 50 ms is reported with about 50 ms."""
    lags: list[float] = []
    monitor = LoopLag(lags.append, period_seconds=0.01)
    monitor.start()
    await eventually(lambda: lags)
    lags.clear()
    time.sleep(0.06)  # noqa: ASYNC251 -- blocking the loop is what the test is about
    await eventually(lambda: lags)
    monitor.stop()

    assert max(lags) >= 0.045


async def test_it_reports_again_and_again_until_it_is_stopped(eventually):
    """Reports keep coming, none is negative, none comes after the stop, and no task is needed."""
    lags: list[float] = []
    monitor = LoopLag(lags.append, period_seconds=0.001)
    monitor.start()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await eventually(lambda: len(lags) >= 3)
    monitor.stop()
    monitor.stop()
    reported = len(lags)
    loop = asyncio.get_running_loop()
    later = loop.create_future()
    loop.call_later(0.01, later.set_result, None)
    await later

    assert len(lags) == reported
    assert min(lags) >= 0.0
