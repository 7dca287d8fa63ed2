"""Sagas do the same on every Redis they may meet: an old one, one of a cluster, one that was emptied under them."""

from __future__ import annotations

import asyncio

import pytest
import redis
from redis.exceptions import MovedError

from midas.redis import Availability, Sender
from midas.saga import (
    NotPossible,
    OrchestratorClosed,
    Parallel,
    SagaState,
    SagaStep,
    SagaUnknown,
    StepKind,
    Terminal,
    UnsafeServer,
    Wait,
    saga_names,
)

from ..redis_servers import OLD, server, wait  # noqa: TID252 -- the tests are no package on any path
from .world import World


@pytest.fixture(name="old_server", scope="module")
def _old_server(tmp_path_factory):
    """Redis 6.2."""
    with server(tmp_path_factory.mktemp("old") / "data", program=OLD) as port:
        yield port


@pytest.fixture(name="cluster", scope="module")
def _cluster(tmp_path_factory):
    """A cluster of one node: a script that touches keys of two slots, or one it does not declare, is an error."""
    options = ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"]
    with server(tmp_path_factory.mktemp("cluster") / "data", *options) as port:
        with redis.Redis(host="127.0.0.1", port=port) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
        yield port


@pytest.mark.parametrize("kind", ["old_server", "cluster"])
async def test_every_move_works_on_other_servers(orchestrate, clock, request, kind):
    """Redis 6.2 and a cluster do every script: done, undone, waiting, decided on, recovered, listed, counted."""

    async def refuse(_):
        raise Terminal("no")

    async def nothing(_):
        pass

    steps = [
        Parallel(SagaStep("a", nothing, refuse), SagaStep("b", nothing, nothing)),
        Wait("approval", 60.0, signal="yes"),
        SagaStep("c", nothing, kind=StepKind.PIVOT),
        SagaStep("d", refuse),
    ]
    url = f"redis://127.0.0.1:{request.getfixturevalue(kind)}"
    orchestrator = orchestrate(steps, clock=clock, redis_url=url, lease_seconds=1_000.0)
    approved, aborted, missed = [await orchestrator.start({}) for _ in range(3)]
    assert await orchestrator.recover() == 3
    await orchestrator.signal(approved, "yes", {"by": "Ada"})
    await orchestrator.abort(aborted)
    clock.advance(61.0)
    assert await orchestrator.recover() == 3
    states = {view.saga_id: view.state for view in await orchestrator.list()}
    assert states == {
        approved: SagaState.SUSPENDED,
        aborted: SagaState.COMPENSATION_FAILED,
        missed: SagaState.COMPENSATION_FAILED,
    }
    await orchestrator.resume(aborted)
    assert await orchestrator.recover() == 1
    await orchestrator.skip(aborted, "a")
    await orchestrator.skip(approved, "d")
    await orchestrator.resolve(missed)
    assert await orchestrator.recover() == 2
    with pytest.raises(NotPossible):
        await orchestrator.abort(approved)
    counts = await orchestrator.statistics()
    assert [counts[f"in:{state}"] for state in ("COMPLETED", "ABORTED", "FAILED")] == [1, 1, 1]
    assert (await orchestrator.show(approved)).context == {"by": "Ada"}


async def test_keepers_renew_on_a_cluster(orchestrate, cluster):
    """The renewal of many sagas names all of its keys, too."""
    url = f"redis://127.0.0.1:{cluster}"
    go_on = asyncio.Event()

    async def stand_still(_):
        await go_on.wait()

    orchestrator = orchestrate([SagaStep("a", stand_still)], redis_url=url, lease_seconds=0.6)
    running = [asyncio.create_task(orchestrator.execute({}, saga_id=f"kept-{n}")) for n in range(5)]

    async def due():
        return [(await orchestrator.show(f"kept-{n}")).due_at for n in range(5)]

    async with asyncio.timeout(60):
        while len(orchestrator._runs) < 5:
            await asyncio.sleep(0.01)
        first = await due()
        while not all(later > before for later, before in zip(await due(), first, strict=True)):
            await asyncio.sleep(0.01)
    go_on.set()
    assert {result.state for result in await asyncio.gather(*running)} == {SagaState.COMPLETED}


class Elsewhere:
    """Sends calls, but for the list of names, which another server of a cluster has."""

    def __init__(self, sender) -> None:
        self._sender = sender

    async def send(self, call, *, within):
        if call.script.name == "introduce":
            raise MovedError("1 127.0.0.1:1")
        return await self._sender.send(call, within=within)


async def test_sagas_run_where_the_list_of_names_is_elsewhere(orchestrate, redis, telemetry):
    """Only who looks for the names of all sagas misses theirs."""
    sender = Elsewhere(Sender(redis, Availability(redis, telemetry)))
    orchestrator = orchestrate([SagaStep("a", lambda _: None)], sender=sender)
    assert (await orchestrator.execute({})).state is SagaState.COMPLETED
    assert await saga_names(redis) == []


async def test_an_emptied_redis_is_the_end_of_its_sagas(orchestrate, redis, world: World):
    """Who runs one stops, who waits is told that it is gone, and the next saga runs."""
    go_on = asyncio.Event()

    async def stand_still(_):
        await go_on.wait()

    orchestrator = orchestrate([SagaStep("a", stand_still, None), world.step("b")])
    running = asyncio.create_task(orchestrator.execute({}, saga_id="s"))
    async with asyncio.timeout(60):
        while not orchestrator._runs:
            await asyncio.sleep(0.01)
    await redis.flushall()
    await redis.script_flush()
    go_on.set()
    with pytest.raises(SagaUnknown):
        await asyncio.wait_for(running, 60)
    assert world.runs == []
    assert (await orchestrator.execute({})).state is SagaState.COMPLETED


async def test_unsafe_servers_are_refused(orchestrate, redis, redis_url, world: World):
    """Where any key may be thrown away no saga is begun, and none taken over; where only what expires is, they run."""
    orchestrator = orchestrate([world.step("a")])
    try:
        await redis.config_set("maxmemory-policy", "allkeys-lfu")
        for begin in (orchestrator.execute({}), orchestrator.start({}), orchestrator.recover()):
            with pytest.raises(
                UnsafeServer, match="maxmemory-policy allkeys-lfu.*, sagas included"
            ) as refusal:
                await begin
            assert str(refusal.value).startswith(f"Redis at {redis_url.rpartition('@')[2]} ")
        with pytest.raises(UnsafeServer):
            await orchestrator.run_recovery(asyncio.Event())
        assert await redis.keys() == []
        assert world.runs == []
        await redis.config_set("maxmemory-policy", "volatile-lru")
        assert (await orchestrator.execute({})).state is SagaState.COMPLETED
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")


async def test_who_begins_at_once_looks_at_the_server_once(orchestrate, redis, world: World):
    """Many sagas that are begun at the same moment make one look at the server, and one thread for all."""
    before = (await redis.info("commandstats")).get("cmdstat_info", {"calls": 0})["calls"]
    orchestrator = orchestrate([world.step("a")])
    results = await asyncio.gather(*(orchestrator.execute({}) for _ in range(20)))
    assert {result.state for result in results} == {SagaState.COMPLETED}
    assert (await redis.info("commandstats"))["cmdstat_info"][
        "calls"
    ] == before + 2  # with the test's own first


async def test_closing_while_the_server_is_looked_at_leaves_no_thread(orchestrate, redis, world: World):
    """Who closes it in that moment has it closed: whoever began a saga is told, and nothing of it runs."""
    orchestrator = orchestrate([world.step("a")])
    running = asyncio.create_task(orchestrator.execute({}, saga_id="s"))
    async with asyncio.timeout(60):
        while orchestrator._opening is None:
            await asyncio.sleep(0)
    await orchestrator.aclose()
    with pytest.raises(OrchestratorClosed):
        await running
    assert orchestrator._keeper is None
    assert world.runs == []
