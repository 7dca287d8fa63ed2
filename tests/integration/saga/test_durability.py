"""A pivot begins only when as many replicas as were asked for know that it is about to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import contextmanager

import pytest
import redis

from midas.saga import (
    Durability,
    NotPossible,
    SagaState,
    SagaStep,
    StepKind,
    StepState,
    UnsafeServer,
    current_step,
)

from ..redis_servers import OLD, server, wait  # noqa: TID252 -- the tests are no package on any path


@contextmanager
def replicated(folder):
    """Run a Redis and a replica of it, and give their addresses and a client of each."""
    with (
        server(folder / "master", "--repl-diskless-sync-delay", "0") as port,
        server(folder / "replica", "--replicaof", "127.0.0.1", str(port)) as replica_port,
        redis.Redis("127.0.0.1", port) as master,
        redis.Redis("127.0.0.1", replica_port) as replica,
    ):
        wait(lambda: replica.info("replication")["master_link_status"] == "up")
        yield f"redis://127.0.0.1:{port}", master, f"redis://127.0.0.1:{replica_port}", replica


class Pivot:
    """Takes note of its runs and of what the replica knows of the saga meanwhile; the first stands still."""

    def __init__(self, replica) -> None:
        self._replica = replica
        self.known = []
        self.keys = []
        self.begun = asyncio.Event()

    async def __call__(self, _) -> None:
        known = self._replica.hmget("{saga:order}:saga:s", "step:pivot", "pivoted")
        self.known.append((json.loads(known[0])["state"], known[1]))
        self.keys.append(current_step().idempotency_key)
        self.begun.set()
        if len(self.keys) == 1:
            await asyncio.Event().wait()


async def test_after_a_failover_it_is_known_that_the_pivot_may_have_happened(orchestrate, tmp_path):
    """While the replica hears nothing the pivot does not begin; then the master dies, and nobody turns back."""
    with replicated(tmp_path) as (url, master, replica_url, replica):
        pid = replica.info("server")["process_id"]
        pivot, undone = Pivot(replica), []
        steps = [
            SagaStep("a", lambda _: os.kill(pid, signal.SIGSTOP), lambda _: undone.append("a")),
            SagaStep("pivot", pivot, kind=StepKind.PIVOT),
        ]
        durability = Durability(replicas=1, timeout=120.0)
        owner = orchestrate(steps, redis_url=url, durability=durability, lease_seconds=1.5)
        running = asyncio.create_task(owner.execute({}, saga_id="s"))
        async with asyncio.timeout(60):
            while not owner._runs or (await owner.show("s")).steps["pivot"].state is not StepState.EXECUTING:
                await asyncio.sleep(0.01)
        hasty = orchestrate([SagaStep("b", lambda _: None, kind=StepKind.PIVOT)], redis_url=url, name="hasty")
        assert (await hasty.execute({})).state is SagaState.COMPLETED
        assert not pivot.begun.is_set()
        os.kill(pid, signal.SIGCONT)
        await asyncio.wait_for(pivot.begun.wait(), 60)

        os.kill(master.info("server")["process_id"], signal.SIGKILL)
        replica.replicaof("NO", "ONE")
        heir = orchestrate(steps, redis_url=replica_url, lease_seconds=1.5)
        with pytest.raises(NotPossible, match="past its pivot"):
            await heir.abort("s")
        result = await asyncio.wait_for(heir.result("s"), 60)
        running.cancel()
        await owner.aclose()
    assert result.state is SagaState.COMPLETED
    assert pivot.known == [("EXECUTING", b"1")] * 2
    assert pivot.keys == ["s:pivot:action"] * 2
    assert undone == []


async def test_a_pivot_that_nobody_else_can_know_of_does_not_happen(orchestrate, metric):
    """Without a replica each attempt fails with NotDurable and without an effect, and the saga is undone."""
    done = []

    def step(name, **options):
        return SagaStep(
            name, lambda _: done.append(name), **options, compensation=lambda _: done.append(f"-{name}")
        )

    pivot = SagaStep("pivot", lambda _: done.append("pivot"), kind=StepKind.PIVOT, retries=1)
    orchestrator = orchestrate([step("a"), pivot], durability=Durability(replicas=1, timeout=0.02))
    result = await orchestrator.execute({}, saga_id="s")
    assert result.state is SagaState.FAILED
    assert result.error == (
        "pivot: NotDurable: what was written of saga s had after 0.02 s not been confirmed by 1 replicas: 0"
    )
    assert done == ["a", "-a"]
    assert metric("saga_steps_total", step="pivot", outcome="error") == 2


async def test_an_old_server_cannot_confirm_its_disk(orchestrate, tmp_path):
    """WAITAOF needs Redis 7.2: sagas that want it are refused by an older server before one is begun."""
    with server(tmp_path / "old", program=OLD) as port:
        orchestrator = orchestrate(
            [SagaStep("a", lambda _: None)],
            redis_url=f"redis://127.0.0.1:{port}",
            durability=Durability(local_disk=True),
        )
        with pytest.raises(UnsafeServer, match="needs 7.2"):
            await orchestrator.start({})
