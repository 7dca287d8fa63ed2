"""Work that is asked for twice at the same time is done once."""

from __future__ import annotations

import asyncio

import pytest

from botmetry.server.shared_work import SharedWork


class Work:
    """A piece of work that ends when the test says so."""

    def __init__(self, error: Exception | None = None) -> None:
        self.runs = 0
        self.go_on = asyncio.Event()
        self.error = error

    async def __call__(self) -> int:
        self.runs += 1
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return self.runs


async def test_simultaneous_requests_share_one_run():
    """All who ask while the work is under way get the result of one run; who asks later gets a new one."""
    shared, work = SharedWork(), Work()
    asked = [asyncio.create_task(shared.run("key", work)) for _ in range(3)]
    await asyncio.sleep(0)
    work.go_on.set()

    assert await asyncio.gather(*asked) == [1, 1, 1]
    assert await shared.run("key", work) == 2


async def test_different_keys_run_beside_each_other():
    """Work under one key does not wait for work under another."""
    shared, slow, fast = SharedWork(), Work(), Work()
    fast.go_on.set()
    waiting = asyncio.create_task(shared.run("slow", slow))

    assert await shared.run("fast", fast) == 1
    slow.go_on.set()
    assert await waiting == 1


async def test_an_error_reaches_everybody_who_waits():
    """All who share a run get its error, and the next run starts afresh."""
    shared, work = SharedWork(), Work(ValueError("broken"))
    asked = [asyncio.create_task(shared.run("key", work)) for _ in range(2)]
    await asyncio.sleep(0)
    work.go_on.set()

    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(result) for result in results] == ["broken", "broken"]
    with pytest.raises(ValueError, match="broken"):
        await shared.run("key", work)


async def test_a_cancelled_request_leaves_the_work_to_the_others():
    """Cancelling one of two requests does not disturb the other."""
    shared, work = SharedWork(), Work()
    leaving, staying = (asyncio.create_task(shared.run("key", work)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    work.go_on.set()

    assert await staying == 1
    assert leaving.cancelled()


async def test_closing_waits_for_what_is_under_way():
    """After closing, no task is left, also when the work fails and nobody asks any more."""
    shared, work = SharedWork(), Work(ValueError("nobody is interested"))
    leaving = asyncio.create_task(shared.run("key", work))
    await asyncio.sleep(0)
    leaving.cancel()
    work.go_on.set()
    assert await shared.aclose(5.0)

    await asyncio.gather(leaving, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_cancels_what_does_not_end():
    """What is still under way after the time given is cancelled, and closing says so."""
    shared, work = SharedWork(), Work()
    asked = asyncio.create_task(shared.run("key", work))
    await asyncio.sleep(0)

    assert not await shared.aclose(0.01)
    assert isinstance((await asyncio.gather(asked, return_exceptions=True))[0], asyncio.CancelledError)
    assert await shared.aclose(0.01)
