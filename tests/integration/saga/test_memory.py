"""A server whose memory is used up begins no saga, and those that were begun are kept, ended and decided about."""

from __future__ import annotations

import asyncio

import pytest
import redis as redis_client

from midas.errors import QueueUnavailable
from midas.saga import Parallel, SagaState, SagaStep, SagaUnknown, StepKind, Terminal, Wait, saga_names

from ..redis_servers import OLD, server  # noqa: TID252 -- the tests are no package on any path

LEASE = 1.5


@pytest.fixture(name="url", params=["redis-server", OLD], ids=["newest", "6.2"])
def _url(tmp_path, request):
    with server(tmp_path / "small", program=request.param) as port:
        yield f"redis://127.0.0.1:{port}"


@pytest.fixture(name="client")
def _client(url):
    with redis_client.Redis.from_url(url) as client:
        yield client


class Steps:
    """Steps that wait to be let go, and one that fails as long as it is told to."""

    def __init__(self) -> None:
        self.begun, self.go_on = asyncio.Semaphore(0), asyncio.Event()
        self.is_broken = True

    def make(self):
        return [
            SagaStep("first", self.wait, self.undo),
            Parallel(SagaStep("a", lambda _: {"a": 1}, None), SagaStep("b", lambda _: {"b": 2}, None)),
            Wait("approval", 3600.0, signal="yes"),
            SagaStep("pay", lambda _: {"page": "x" * 5_000}, kind=StepKind.PIVOT),
        ]

    async def wait(self, _):
        self.begun.release()
        await self.go_on.wait()

    async def undo(self, _):
        if self.is_broken:
            raise Terminal("not yet")


@pytest.fixture(name="steps")
async def _steps():
    return Steps()


async def state_is(orchestrator, saga_id, state):
    async with asyncio.timeout(60):
        while (await orchestrator.show(saga_id)).state is not state:
            await asyncio.sleep(0.01)


async def test_what_was_begun_ends_and_nothing_else_begins(orchestrate, steps, url, client):
    """Renewed, written, signalled, aborted, taken over and resumed without memory; a new one leaves no trace."""
    orchestrator = orchestrate(steps.make(), redis_url=url, lease_seconds=LEASE)
    running = [asyncio.create_task(orchestrator.execute({}, saga_id=name)) for name in ("kept", "aborted")]
    for _ in running:
        await asyncio.wait_for(steps.begun.acquire(), 60)
    left = await orchestrator.start({}, saga_id="left")
    client.config_set("maxmemory", 1)

    with pytest.raises(QueueUnavailable, match="maxmemory"):
        await orchestrator.start({}, saga_id="new")
    with pytest.raises(SagaUnknown):
        await orchestrator.show("new")

    due = (await orchestrator.show("kept")).due_at
    async with asyncio.timeout(60):
        while (await orchestrator.show("kept")).due_at < due + 2 * LEASE:
            await asyncio.sleep(0.01)
    await orchestrator.abort("aborted")
    await state_is(orchestrator, "aborted", SagaState.COMPENSATION_FAILED)
    steps.is_broken = False
    await orchestrator.resume("aborted")
    steps.go_on.set()
    await state_is(orchestrator, "kept", SagaState.WAITING)
    await orchestrator.signal("kept", "yes", {"by": "Ada"})
    results = await asyncio.wait_for(asyncio.gather(running[0], orchestrator.result("aborted")), 60)
    assert [result.state for result in results] == [SagaState.COMPLETED, SagaState.ABORTED]
    assert results[0].context == {"a": 1, "b": 2, "by": "Ada", "page": "x" * 5_000}
    await running[1]

    stop = asyncio.Event()
    recovering = asyncio.create_task(orchestrator.run_recovery(stop))
    await state_is(orchestrator, left, SagaState.WAITING)
    await orchestrator.abort(left)
    await state_is(orchestrator, left, SagaState.ABORTED)
    stop.set()
    await recovering
    counts = await orchestrator.statistics()
    assert (counts["started"], counts["recovered"], counts["refused"]) == (3, 0, 0)


async def test_a_program_that_starts_while_memory_is_short_is_known_later(orchestrate, steps, url, client):
    """It opens, and its name is on the list; once there is memory, it begins sagas."""
    client.config_set("maxmemory", 1)
    orchestrator = orchestrate(steps.make(), redis_url=url)
    assert await orchestrator.recover() == 0
    assert await saga_names(orchestrator._client) == ["order"]
    client.config_set("maxmemory", 0)
    assert await orchestrator.start({}, saga_id="s") == "s"
