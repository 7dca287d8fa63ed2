"""Real worker processes that are killed, frozen and blocked lose nothing, and take nothing from one another."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from midas.queue import NewTask, TaskStatus

from . import laborer
from .ground import check_drained, snapshot, until

PROGRAM = Path(laborer.__file__)
LEASE = 1.5  # shorter ones lapse by themselves on a busy machine


@pytest.fixture(name="release")
def _release(tmp_path):
    return tmp_path / "release"


@pytest.fixture(name="start")
def _start(redis_url, release):
    """Start worker processes; what still lives at the end is killed."""
    running = []

    def start(lease=LEASE, concurrency=100):
        arguments = [redis_url, str(release), str(lease), str(concurrency)]
        running.append(subprocess.Popen([sys.executable, str(PROGRAM), *arguments]))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


async def test_a_killed_worker_is_replaced(make_queue, start, release):
    """Every task that a worker held when it was killed is finished by another, which has it soon after the lease."""
    queue = await make_queue(lease_seconds=LEASE)
    ids = await queue.add_tasks([NewTask("hold") for _ in range(40)])
    first = start(concurrency=20)
    await until(lambda: _in_flight(queue, 20))
    second = start(concurrency=40)
    await until(lambda: _in_flight(queue, 40))
    held = await _held_by(queue, first, ids)
    assert len(held) == 20
    first.kill()
    killed_at = time.monotonic()
    await until(lambda: _ran_by(queue, second, held))
    assert time.monotonic() - killed_at < 10 * LEASE  # two leases on an idle machine
    release.touch()
    assert {await queue.get_result(task_id, 60) for task_id in held} == {second.pid}
    await _stop(second)
    now = await check_drained(queue)
    assert (now.stats["COMPLETED"], now.stats["recovered"]) == (40, len(held))


async def test_a_worker_that_wakes_too_late_changes_nothing(make_queue, start, release):
    """A frozen worker's tasks are finished by another; what it wants to say of them when it wakes is refused."""
    queue = await make_queue(lease_seconds=LEASE)
    first = start()
    ids = await queue.add_tasks([NewTask("hold") for _ in range(5)])
    await until(lambda: _ran_by(queue, first, ids))
    first.send_signal(signal.SIGSTOP)
    second = start()
    release.touch()
    try:
        assert {await queue.get_result(task_id, 60) for task_id in ids} == {second.pid}
    finally:
        first.send_signal(signal.SIGCONT)
    refused, lost = await _stop(first, queue)
    assert refused + lost == 5
    assert await _stop(second, queue) == (0, 0)
    assert {await queue.get_result(task_id, 0) for task_id in ids} == {second.pid}
    assert (await check_drained(queue)).stats["COMPLETED"] == 5


async def test_a_task_that_takes_twenty_leases_runs_once(make_queue, start):
    """Ten minutes under thirty seconds, compressed: one that awaits and one that blocks the loop, beside a sweeper."""
    queue = await make_queue(lease_seconds=LEASE)
    workers = [start(concurrency=1) for _ in range(2)]
    await until(lambda: _readers(queue, 2))
    ids = await queue.add_tasks([NewTask(kind, {"seconds": 20 * LEASE}) for kind in ("long", "block")])
    assert {await queue.get_result(task_id, 120) for task_id in ids} == {worker.pid for worker in workers}
    for task_id in ids:
        assert len(await _runs(queue, task_id)) == 1
    for worker in workers:
        assert await _stop(worker, queue) == (0, 0)
    assert (await check_drained(queue)).stats["recovered"] == 0


@pytest.mark.parametrize("concurrency", [1, 10])
async def test_a_task_that_kills_its_worker_is_given_up_and_no_other(make_queue, start, concurrency):
    """A poison task is a dead letter after three workers; those that ran beside it or were held ahead are finished."""
    queue = await make_queue(lease_seconds=LEASE, max_deliveries=3)
    notes = [NewTask("note", task_id=f"note-{n}") for n in range(40)]
    notes[20:20] = [NewTask("poison", task_id="poison")]
    await queue.add_tasks(notes)
    workers = [start(LEASE, concurrency)]
    async with asyncio.timeout(180):
        while len(workers) < 12 and (await snapshot(queue)).ends() != 41:
            if workers[-1].poll() is not None:
                workers.append(start(LEASE, concurrency))
            await asyncio.sleep(0.01)
    await until(lambda: _ended(queue, 41))
    assert [letter.id for letter in await queue.dead_letters()] == ["poison"]
    letter = await queue.dead_letter("poison")
    assert letter.reason.startswith("lost its worker 3 times, last ")
    assert len(letter.history) == 2
    assert len(await _runs(queue, "poison")) == 3
    assert await queue.get_task_status("poison") is TaskStatus.FAILED
    await _stop(workers[-1])
    await check_drained(queue)


async def _stop(process, queue=None):
    """End a process in good order, and give how many settlements it was refused and how many tasks it lost."""
    process.terminate()
    assert await asyncio.to_thread(process.wait, 60) == 0
    if queue is not None:
        return tuple(map(int, (await queue.redis.hget("refused", str(process.pid))).split()))
    return None


async def _runs(queue, task_id):
    return [int(line.split()[0]) for line in await queue.redis.lrange(f"ran:{task_id}", 0, -1)]


async def _ran_by(queue, process, ids):
    return all([process.pid in await _runs(queue, task_id) for task_id in ids])


async def _held_by(queue, process, ids):
    return [task_id for task_id in ids if process.pid in await _runs(queue, task_id)]


async def _in_flight(queue, count):
    running = sum([len(await queue.redis.keys("ran:*"))])
    return running == (await queue.statistics()).in_flight == count


async def _readers(queue, count):
    return (await queue.statistics()).readers == count


async def _ended(queue, count):
    return (await snapshot(queue)).ends() == count
