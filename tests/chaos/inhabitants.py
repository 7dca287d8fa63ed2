"""The processes that are killed: a worker of the queue, an orchestrator of sagas; and the one that gives them work."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger import Ledger

from botmetry import LogSettings, Telemetry
from midas.errors import QueueUnavailable
from midas.queue import NewTask, TaskQueue, TaskQueueConfig, Worker
from midas.saga import SagaConfig, SagaOrchestrator, SagaStep, StepKind, Terminal, current_step

if TYPE_CHECKING:
    from pathlib import Path

    from midas.queue import StreamTask

LEASE_SECONDS = 2.0
CONCURRENCY = 20
STEPS = ("reserve", "charge", "pack", "ship", "thank")
_AT_A_TIME = 50


@dataclass(frozen=True)
class World:
    """What all processes know.

    Attributes:
        redis_url: Where the queue and the sagas are.
        folder: Where the ledger and the logs are.
        seed: Decides what fails and how long things take.
        tasks: How many tasks there are.
        sagas: How many sagas there are.
        seconds: Over how long they come.
    """

    redis_url: str
    folder: Path
    seed: int
    tasks: int
    sagas: int
    seconds: float

    def queue_config(self) -> TaskQueueConfig:
        """Give the queue. Being killed is nobody's fault here, so there is no limit to deliveries."""
        return TaskQueueConfig(
            self.redis_url,
            name="chaos",
            lease_seconds=LEASE_SECONDS,
            retry_seconds=0.05,
            max_deliveries=1_000,
            result_ttl=3_600.0,
        )

    def saga_config(self) -> SagaConfig:
        """Give the sagas."""
        return SagaConfig(
            redis_url=self.redis_url,
            name="chaos",
            lease_seconds=LEASE_SECONDS,
            first_pause=0.05,
            longest_pause=0.5,
            compensation_retries=2,
            max_recoveries=1_000,
            recovery_pause=0.25,
        )

    def ledger(self) -> Ledger:
        """Open the ledger."""
        return Ledger(self.folder / "ledger")

    def telemetry(self, who: str) -> Telemetry:
        """Make a process's telemetry, which logs refusals and worse to a file of its own."""
        path = str(self.folder / f"{who}.jsonl")
        return Telemetry("chaos", log=LogSettings(output=path, level="warning"))

    def chance(self, *of: object) -> random.Random:
        """Give the chance that belongs to something, the same in every process."""
        return random.Random(":".join(map(str, (self.seed, *of))))


def task_id(number: int) -> str:
    """Name a task."""
    return f"task-{number}"


def saga_id(number: int) -> str:
    """Name a saga."""
    return f"saga-{number}"


async def work(world: World, who: str) -> None:
    """Run tasks until killed."""
    ledger = world.ledger()

    async def handle(task: StreamTask) -> str:
        chance = world.chance(task.id)
        ledger.note("begin", task.id)
        await asyncio.sleep(chance.uniform(0.01, 0.2))
        if chance.random() < 0.03 and task.head.retries == 0:
            ledger.note("fail", task.id)
            raise RuntimeError("the first run of this one fails")
        ledger.note("end", task.id)
        return task.id

    async with TaskQueue(world.queue_config(), world.telemetry(who)) as queue:
        await Worker(queue, {"work": handle}, concurrency=CONCURRENCY, worker_id=who).run()


def steps(world: World, ledger: Ledger) -> list[SagaStep]:
    """Give the steps: every third saga fails after three of them, and of every tenth one of those cannot be undone."""

    async def act(context: dict[str, Any]) -> None:
        run = current_step()
        await asyncio.sleep(world.chance(run.idempotency_key).uniform(0.005, 0.08))
        if run.step == "ship" and context["number"] % 3 == 0:
            raise Terminal("this one is not shipped")
        ledger.note_effect(run)

    async def undo(context: dict[str, Any]) -> None:
        run = current_step()
        await asyncio.sleep(world.chance(run.idempotency_key).uniform(0.005, 0.05))
        if run.step == "charge" and context["number"] % 30 == 0:
            raise Terminal("this one cannot be undone")
        ledger.note_effect(run)

    return [
        *(SagaStep(name, act, undo) for name in STEPS[:3]),
        SagaStep("ship", act, kind=StepKind.PIVOT),
        SagaStep("thank", act),
    ]


async def orchestrate(world: World, who: str) -> None:
    """Run sagas until killed."""
    async with SagaOrchestrator(
        steps(world, world.ledger()), world.saga_config(), telemetry=world.telemetry(who)
    ) as orchestrator:
        await orchestrator.run_recovery(asyncio.Event())


async def supply(world: World, who: str) -> None:
    """Add all tasks and sagas, evenly over the time; what Redis did not confirm is said again under the same id."""
    telemetry = world.telemetry(who)
    rounds = max(1, world.tasks // _AT_A_TIME)
    async with (
        TaskQueue(world.queue_config(), telemetry) as queue,
        SagaOrchestrator(
            steps(world, world.ledger()), world.saga_config(), telemetry=telemetry
        ) as orchestrator,
    ):
        for number in range(rounds):
            first, beyond = (world.tasks * at // rounds for at in (number, number + 1))
            tasks = [NewTask("work", {"number": n}, task_id=task_id(n)) for n in range(first, beyond)]
            await _insist(lambda tasks=tasks: queue.add_tasks(tasks))
            first, beyond = (world.sagas * at // rounds for at in (number, number + 1))
            for n in range(first, beyond):
                await _insist(lambda n=n: orchestrator.start({"number": n}, saga_id=saga_id(n)))
            await asyncio.sleep(world.seconds / rounds)


async def _insist(call: Any) -> None:
    while True:
        try:
            await call()
        except QueueUnavailable:
            await asyncio.sleep(0.05)
        else:
            return
