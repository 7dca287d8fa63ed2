"""Kills workers, orchestrators and Redis while they work, and counts what came of it: ``make chaos``.

Tasks and sagas arrive evenly. Meanwhile processes are ended with SIGKILL and replaced, some are stopped past their
lease and woken, and the Redis server (append-only file, ``appendfsync always``) is killed and started again. At the end
each task must have ended, and each saga must be completed, undone, or listed as not undone. The seed decides who is
killed when, and what fails; what the kernel schedules nobody decides.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inhabitants import LEASE_SECONDS, STEPS, World, orchestrate, saga_id, supply, task_id, work
from ledger import History

from midas.demo.servers import RedisServer
from midas.queue import TaskQueue
from midas.saga import SagaOversight, SagaState

WORKERS, ORCHESTRATORS = 4, 2
DRAIN_SECONDS = 180.0
FREEZE_SECONDS = 1.6 * LEASE_SECONDS

Life = Callable[[World, str], Coroutine[Any, Any, None]]


@dataclass
class Plan:
    """What shall happen when, in seconds from the start."""

    events: list[tuple[float, str]]

    @classmethod
    def draw(cls, seed: int, seconds: float, counts: dict[str, int]) -> Plan:
        """Spread so many events of each kind over the time."""
        chance = random.Random(seed)
        events = [
            (seconds * (0.02 + 0.96 * chance.random()), kind)
            for kind, count in counts.items()
            for _ in range(count)
        ]
        return cls(sorted(events))


@dataclass
class Town:
    """The processes that live now."""

    world: World
    chance: random.Random
    living: dict[int, tuple[str, Life]] = field(default_factory=dict)
    frozen: dict[int, float] = field(default_factory=dict)
    born: int = 0
    ended: int = 0

    def settle(self, kind: str, life: Life) -> int:
        """Start a process: a fork of this one, which has loaded everything and runs no thread."""
        self.born += 1
        who = f"{kind}-{self.born}"
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                asyncio.run(life(self.world, who))
                status = 0
            finally:
                os._exit(status)
        self.living[pid] = (kind, life)
        return pid

    def kill_one(self) -> None:
        """End a process as the kernel does when memory is short, and put another in its place."""
        pid = self.chance.choice(sorted(set(self.living) - set(self.frozen)))
        kind, life = self.living.pop(pid)
        os.kill(pid, signal.SIGKILL)
        self.world.ledger().note("kill", kind, pid)
        os.waitpid(pid, 0)
        self.settle(kind, life)

    def replace_the_ended(self) -> None:
        """Do what a service manager does: start again who ended by itself, because Redis was away when it began."""
        for pid, (kind, life) in list(self.living.items()):
            if os.waitpid(pid, os.WNOHANG)[0]:
                del self.living[pid]
                self.ended += 1
                self.settle(kind, life)

    def freeze_one(self, moment: float) -> None:
        """Stop a process for longer than its lease: it will wake and believe that nothing happened."""
        awake = sorted(set(self.living) - set(self.frozen))
        if len(awake) > 2:
            pid = self.chance.choice(awake)
            os.kill(pid, signal.SIGSTOP)
            self.frozen[pid] = moment + FREEZE_SECONDS

    def wake(self, moment: float) -> None:
        """Let those go on whose time has come."""
        for pid, until in list(self.frozen.items()):
            if moment >= until:
                os.kill(pid, signal.SIGCONT)
                del self.frozen[pid]

    def end(self) -> None:
        """End everybody."""
        for pid in self.living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.living.clear()


def main() -> int:
    """Run and tell; 1 when something was lost."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        with RedisServer(folder / "redis", appendfsync="always") as server:
            world = World(server.url, folder, options.seed, options.tasks, options.sagas, options.seconds)
            report = _run(world, server, options)
        return _tell(report, as_json=options.json)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(world: World, server: RedisServer, options: argparse.Namespace) -> dict[str, Any]:
    counts = {"kill": options.kills, "freeze": options.freezes, "crash": options.crashes}
    plan = Plan.draw(world.seed, world.seconds, counts)
    town = Town(world, random.Random(world.seed))
    supplier = 0
    try:
        for _ in range(WORKERS):
            town.settle("worker", work)
        for _ in range(ORCHESTRATORS):
            town.settle("orchestrator", orchestrate)
        supplier = os.fork()
        if supplier == 0:
            status = 1
            try:
                asyncio.run(supply(world, "supplier"))
                status = 0
            finally:
                os._exit(status)
        _torment(plan, town, server)
        _, status = os.waitpid(supplier, 0)
        supplier = 0
        assert os.waitstatus_to_exitcode(status) == 0, "the supplier failed"
        drained = _drain(town)
    finally:
        if supplier:
            os.kill(supplier, signal.SIGKILL)
        town.end()
    return asyncio.run(_report(world, counts, drained)) | {"restarts": town.ended}


def _torment(plan: Plan, town: Town, server: RedisServer) -> None:
    began = time.monotonic()
    for at, kind in plan.events:
        while (now := time.monotonic() - began) < at:
            town.wake(now)
            town.replace_the_ended()
            time.sleep(min(0.05, at - now))
        if kind == "kill":
            town.kill_one()
        elif kind == "freeze":
            town.freeze_one(now)
        else:
            server.kill()
            time.sleep(0.2)
            server.start()
    while town.frozen:
        town.wake(time.monotonic() - began)
        time.sleep(0.05)


def _drain(town: Town) -> float:
    """Wait until nothing waits or runs any more; gives the seconds."""
    began = time.monotonic()
    while time.monotonic() - began < DRAIN_SECONDS and asyncio.run(_under_way(town.world)):
        town.replace_the_ended()
        time.sleep(0.2)
    return time.monotonic() - began


async def _under_way(world: World) -> int:
    async with TaskQueue(world.queue_config()) as queue, SagaOversight(world.saga_config()) as oversight:
        now = await queue.statistics()
        sagas = await oversight.statistics()
    unfinished = sum(sagas[f"in:{state}"] for state in SagaState if not _has_ended(state))
    return now.ready + now.delayed + now.parked + now.in_flight + unfinished


def _has_ended(state: SagaState) -> bool:
    return state.is_over or state.needs_a_person


async def _report(world: World, counts: dict[str, int], drained: float) -> dict[str, Any]:
    history = History.read(world.ledger())
    recovery = history.recovery_seconds()
    tasks, lost_tasks = await _account_of_tasks(world)
    sagas, wrong_sagas = await _account_of_sagas(world, history)
    return {
        "seed": world.seed,
        "kills": counts["kill"],
        "freezes": counts["freeze"],
        "redis_crashes": counts["crash"],
        "tasks": tasks,
        "tasks_lost": lost_tasks,
        "sagas": sagas,
        "sagas_wrong": wrong_sagas,
        "runs_repeated": history.repeated_tasks(),
        "effects_repeated": history.repeated_effects(),
        "effects_too_late": history.late,
        "refused_settlements": _logged(world, "queue.settlement_refused"),
        "refused_checkpoints": await _refused_checkpoints(world),
        "runs_cut_off": len(recovery),
        "recovery_p50_seconds": _quantile(recovery, 0.5),
        "recovery_p99_seconds": _quantile(recovery, 0.99),
        "lease_seconds": LEASE_SECONDS,
        "drained_seconds": drained,
    }


async def _account_of_tasks(world: World) -> tuple[dict[str, int], list[str]]:
    """Ask for every task how it ended."""
    found = {"completed": 0, "dead": 0}
    lost = []
    async with TaskQueue(world.queue_config()) as queue:
        dead = {letter.id for letter in await queue.dead_letters(world.tasks)}
        for number in range(world.tasks):
            name = task_id(number)
            if name in dead:
                found["dead"] += 1
                continue
            try:
                result = await queue.get_result(name, timeout=0)
            except Exception as error:
                lost.append(f"{name}: {error}")
            else:
                found["completed"] += result == name
        now = await queue.statistics()
    found["added"] = now.added
    if now.added != now.completed + now.dead_lettered:
        lost.append(f"{now.added} were added, and {now.completed} + {now.dead_lettered} ended")
    return found, lost


async def _account_of_sagas(world: World, history: History) -> tuple[dict[str, int], list[str]]:
    """Compare what each saga says of itself with what the ledger says that happened."""
    found: dict[str, int] = {}
    wrong = []
    async with SagaOversight(world.saga_config()) as oversight:
        for number in range(world.sagas):
            view = await oversight.show(saga_id(number))
            found[view.state] = found.get(view.state, 0) + 1
            fault = _fault(number, view, history)
            if fault:
                wrong.append(f"{view.saga_id} is {view.state}: {fault}")
    return found, wrong


def _fault(number: int, view: Any, history: History) -> str:
    """Say what does not fit; nothing if all does."""
    name = saga_id(number)
    done = {step: history.effects.get(f"{name}:{step}:action", []) for step in STEPS}
    undone = {step: history.effects.get(f"{name}:{step}:compensation", []) for step in STEPS}
    if number % 3:
        expected = SagaState.COMPLETED
    else:
        expected = SagaState.COMPENSATION_FAILED if number % 30 == 0 else SagaState.FAILED
    if view.state is not expected:
        return f"it should be {expected}"
    if expected is SagaState.COMPLETED:
        missing = [step for step in STEPS if not done[step] or undone[step]]
        return f"not done, or undone: {missing}" if missing else ""
    kept = [
        step for step in STEPS if done[step] and not (undone[step] and max(undone[step]) > max(done[step]))
    ]
    told = list(view.not_undone)
    return f"done and not undone: {kept}, and said to be: {told}" if kept != told else ""


async def _refused_checkpoints(world: World) -> int:
    async with SagaOversight(world.saga_config()) as oversight:
        return (await oversight.statistics())["refused"]


def _logged(world: World, event: str) -> int:
    return sum(path.read_text("utf-8").count(f'"event":"{event}"') for path in world.folder.glob("*.jsonl"))


def _quantile(values: list[float], share: float) -> float | None:
    return round(values[min(len(values) - 1, int(share * len(values)))], 3) if values else None


def _tell(report: dict[str, Any], *, as_json: bool) -> int:
    wrong = report["tasks_lost"] + report["sagas_wrong"]
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
        return 1 if wrong else 0
    tasks, sagas = report["tasks"], report["sagas"]
    sys.stdout.write(
        f"seed {report['seed']}: {report['kills']} kills -9, {report['freezes']} freezes past the lease of "
        f"{report['lease_seconds']:g} s, {report['redis_crashes']} crashes of Redis; {report['restarts']} processes "
        "found no Redis and were started again\n"
        f"tasks   {tasks['added']} added, {tasks['completed']} completed, {tasks['dead']} dead letters, "
        f"{len(report['tasks_lost'])} lost\n"
        f"sagas   {', '.join(f'{count} {state}' for state, count in sorted(sagas.items()))}, "
        f"{len(report['sagas_wrong'])} wrong\n"
        f"twice   {report['runs_repeated']} runs of tasks, {report['effects_repeated']} effects of sagas under the "
        "same key\n"
        f"refused {report['refused_settlements']} settlements of tasks, {report['refused_checkpoints']} checkpoints of "
        f"sagas, {report['effects_too_late']} effects of owners that had been replaced\n"
        f"back    {report['runs_cut_off']} runs cut off ran again after p50 {report['recovery_p50_seconds']} s, "
        f"p99 {report['recovery_p99_seconds']} s; the rest was done {report['drained_seconds']:.1f} s after the last "
        "event\n"
    )
    for line in wrong[:20]:
        sys.stdout.write(f"WRONG   {line}\n")
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill everything while it works, and count what is lost.")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--sagas", type=int, default=500)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--freezes", type=int, default=20)
    parser.add_argument("--crashes", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=100.0, help="over which tasks, sagas and faults are spread"
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
