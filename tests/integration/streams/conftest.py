"""Streams queues on a real Redis. Each is looked through when its test is over: nothing may contradict anything."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from botmetry import LogSettings, Telemetry
from midas.queue import TaskQueue, TaskQueueConfig

from .ground import check_consistent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator


@pytest.fixture(name="telemetry")
def _telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry(service="streams-test", log=LogSettings(output="none"))
    yield telemetry
    telemetry.close()


@pytest.fixture(name="make_queue")
async def _make_queue(
    redis_url: str, telemetry: Telemetry
) -> AsyncIterator[Callable[..., Awaitable[TaskQueue]]]:
    """Make queues of any settings; retries come soon unless they say otherwise."""
    made = []
    async with AsyncExitStack() as stack:

        async def make(clock=None, *, url=redis_url, **settings) -> TaskQueue:
            config = TaskQueueConfig(url, **{"retry_seconds": 0.01, **settings})
            made.append(await stack.enter_async_context(TaskQueue(config, telemetry, clock=clock)))
            return made[-1]

        yield make
        for queue in made:
            await check_consistent(queue)


@pytest.fixture(name="queue")
async def _queue(make_queue: Callable[..., Awaitable[TaskQueue]]) -> TaskQueue:
    """Give a queue that goes by the server's clock, as in production."""
    return await make_queue()
