"""Real processes that are killed or frozen in the middle of sagas leave nothing half done."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

from midas.saga import SagaOrchestrator, SagaState

from . import orders

SAGAS = 30
KILLS = 5
SEED = 20261122
PROGRAM = Path(orders.__file__)
WHOLE = {b"a", b"b", b"c", b"d", b"e"}


@contextmanager
def process(redis_url, seed, number=0):
    """Run the program; kill it at the end, if it still lives."""
    running = subprocess.Popen([sys.executable, str(PROGRAM), redis_url, str(seed), str(number)])
    try:
        yield running
    finally:
        running.kill()
        running.wait()


async def until(condition, seconds=120):
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.005)


async def test_killed_processes_lose_no_saga(redis_url, redis):
    """Killed again and again at seeded moments, others end every saga: all of it, or all undone in reverse."""
    randomness = random.Random(SEED)

    async def more(before, wanted):
        return await redis.llen(orders.LOG) >= before + wanted

    for kill in range(KILLS):
        before, wanted = await redis.llen(orders.LOG), randomness.randrange(1, 25)
        with process(redis_url, SEED + kill, SAGAS if kill == 0 else 0):
            await until(lambda before=before, wanted=wanted: more(before, wanted))

    heir = SagaOrchestrator(orders.steps(redis, randomness), orders.config(redis_url))
    async with heir:
        results = await asyncio.wait_for(asyncio.gather(*(heir.result(f"s{n}") for n in range(SAGAS))), 120)
        counts = await heir.statistics()
    for n, result in enumerate(results):
        refused = n % 3 == 0
        assert result.state is (SagaState.FAILED if refused else SagaState.COMPLETED)
        assert await redis.smembers(orders.APPLIED + result.saga_id) == (set() if refused else WHOLE)
    assert counts["in:COMPLETED"] + counts["in:FAILED"] == SAGAS
    assert counts["recovered"] >= KILLS, "nothing was under way when a process was killed"
    await _check_effects(redis)


async def _check_effects(redis):
    effects = defaultdict(list)
    for line in await redis.lrange(orders.LOG, 0, -1):
        saga_id, step, direction, epoch, _ = line.decode().split()
        effects[saga_id].append((direction, step, int(epoch)))
    for saga_id, runs in effects.items():
        directions = [direction for direction, _, _ in runs]
        assert directions == sorted(directions), f"{saga_id}: an action after a compensation"
        epochs = [epoch for _, _, epoch in runs]
        assert epochs == sorted(epochs), f"{saga_id}: an earlier owner had an effect after a later one"
        undone = list(dict.fromkeys(step for direction, step, _ in runs if direction == "compensation"))
        assert undone == sorted(undone, reverse=True), f"{saga_id}: not undone in reverse"


async def test_a_frozen_process_that_wakes_up_changes_nothing(redis_url, redis):
    """Stopped past its lease in the middle of sagas, it finds them ended by another, and leaves them as they are."""

    async def begun():
        return await redis.llen(orders.LOG) >= 5

    heir = SagaOrchestrator(orders.steps(redis, random.Random(SEED)), orders.config(redis_url))
    async with heir:
        with process(redis_url, SEED, 10) as frozen:
            await until(begun)
            os.kill(frozen.pid, signal.SIGSTOP)
            await asyncio.wait_for(asyncio.gather(*(heir.result(f"s{n}") for n in range(10))), 120)
            ended = [await heir.show(f"s{n}") for n in range(10)]
            effects = await redis.lrange(orders.LOG, 0, -1)
            os.kill(frozen.pid, signal.SIGCONT)
            frozen.terminate()
            assert await asyncio.to_thread(frozen.wait, 60) == 0
        assert [await heir.show(f"s{n}") for n in range(10)] == ended
        assert {view.state for view in ended} == {SagaState.COMPLETED, SagaState.FAILED}
        # A step that was under way has its effect, under an epoch by which the other side could refuse it; none begins.
        late = (await redis.lrange(orders.LOG, 0, -1))[len(effects) :]
        assert len(late) <= 10 * 2, "more than the two branches that each saga may have had under way"
        assert {line.split()[3] for line in late} <= {b"1"}
        assert (await heir.statistics())["recovered"] >= 1
