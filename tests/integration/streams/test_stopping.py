"""A worker stops in good order, and what it could not finish is there for others at once."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from midas.queue import NewTask, TaskStatus, Worker
from midas.redis import end

from .ground import at_work, check_consistent, check_drained, run_all, until


async def test_what_runs_is_finished_and_what_waits_is_given_back(queue):
    """A worker that is told to stop finishes its runs, returns what it held ahead, and takes nothing more."""
    release, begun, done = asyncio.Event(), [], []

    async def handler(task):
        begun.append(task)
        if task.type == "slow":
            await release.wait()
        done.append(task.payload["n"])

    await queue.add_tasks([NewTask("fast", {"n": n}) for n in range(50)])
    worker = Worker(queue, {"fast": handler, "slow": handler}, concurrency=2)
    async with at_work(worker):
        await until(lambda: len(done) == 50)
        await queue.add_tasks([NewTask("slow", {"n": n}) for n in range(20)])
        await until(lambda: len(begun) == 52)
        await until(lambda: worker._ahead)
        worker.stop()
        release.set()
    assert sorted(done[50:]) == [0, 1]
    now = await queue.statistics()
    assert (now.ready, now.in_flight) == (18, 0)
    await run_all(queue, {"slow": handler})
    assert {task.attempt for task in begun} == {1}
    await check_drained(queue)


async def test_what_comes_in_the_moment_of_the_stop_goes_back_at_once(queue):
    """Tasks that are on their way to a worker that is told to stop wait for no run of it to end."""
    release, begun, waits = asyncio.Event(), asyncio.Event(), asyncio.Event()
    send = queue.send_when_woken

    async def hold_back(call, seconds):
        waits.set()
        reply = await send(call, seconds)
        if len(reply) > 3:  # it holds a task
            worker.stop()
            for _ in range(20):  # until the loop has passed it on to whoever waits for this reply
                await asyncio.sleep(0)
        return reply

    async def long(payload):
        begun.set()
        await release.wait()

    await queue.add_task("long")
    worker = Worker(queue, {"long": long, "t": lambda payload: 1}, drain_seconds=600)
    async with at_work(worker):
        await begun.wait()
        queue.send_when_woken = hold_back
        await waits.wait()
        task_id = await queue.add_task("t")
        await until(worker._stop.is_set)
        await until(lambda: _is_pending(queue, task_id))
        assert (await queue.statistics()).in_flight == 1
        queue.send_when_woken = send
        release.set()
    await run_all(queue, {"t": lambda payload: 1})
    await check_drained(queue)


async def test_what_takes_too_long_is_given_back_within_the_deadline(queue):
    """Past drain_seconds runs are cancelled and returned, with no blame and for others to run at once."""
    attempts, release = [], asyncio.Event()

    async def handler(task):
        attempts.append(task.attempt)
        await release.wait()

    await queue.add_tasks([NewTask("t")] * 3)
    worker = Worker(queue, {"t": handler}, drain_seconds=0.1)
    async with at_work(worker):
        await until(lambda: len(attempts) == 3)
        began = time.monotonic()
        worker.stop()
    assert time.monotonic() - began < 15
    assert (await queue.statistics()).ready == 3
    release.set()
    await run_all(queue, {"t": handler})
    assert attempts == [1] * 6
    await check_drained(queue)


async def test_signals_stop_a_worker_and_a_second_one_hurries_it(queue):
    """SIGTERM lets runs end; after a second one they go back at once, however long drain_seconds are."""
    begun = asyncio.Event()

    async def endless(payload):
        begun.set()
        await asyncio.Event().wait()

    await queue.add_task("t", task_id="x")
    worker = Worker(queue, {"t": endless}, drain_seconds=600)
    run = asyncio.create_task(worker.run())
    await begun.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await until(worker._stop.is_set)
    assert not run.done()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(60):
        await run
    assert (await queue.statistics()).ready == 1
    await queue.cancel("x")
    await check_drained(queue)


async def test_a_worker_that_is_cancelled_gives_back_what_runs(queue):
    """Cancelling run() itself is a stop, too: nothing stays with a reader that is gone."""
    begun = asyncio.Event()

    async def endless(payload):
        begun.set()
        await asyncio.Event().wait()

    await queue.add_tasks([NewTask("t")] * 5)
    run = asyncio.create_task(Worker(queue, {"t": endless}, drain_seconds=0.05).run())
    await begun.wait()
    await end(run)
    assert (await queue.statistics()).ready == 5
    assert (await check_consistent(queue)).stats["given_back"] == 5


async def test_a_stop_before_the_start_is_a_stop(queue):
    """A worker that was told to stop before it ran returns at once, and can run again afterwards."""
    await queue.add_task("t")
    worker = Worker(queue, {"t": lambda payload: 1})
    worker.stop()
    async with asyncio.timeout(60):
        await worker.run()
    assert (await queue.statistics()).ready == 1
    await worker.run(until_empty=True)
    await check_drained(queue)


async def test_until_empty_waits_for_retries_and_not_for_far_away(queue):
    """A worker that runs until nothing is left sees retries through, and leaves what is due after the longest pause."""
    attempts = []

    def handler(task):
        attempts.append(task.attempt)
        if len(attempts) < 4:
            raise ValueError("not yet")

    await queue.add_task("t", max_retries=5)
    far = await queue.add_task("t", delay=10_000)
    async with asyncio.timeout(60):
        await Worker(queue, {"t": handler}).run(until_empty=True)
    assert attempts == [1, 2, 3, 4]
    assert await queue.cancel(far)
    await check_drained(queue)


async def test_two_workers_share_what_comes_and_all_of_it_is_done_once(make_queue):
    """Three workers that start and stop while tasks come run each task once, whoever had it."""
    queues = [await make_queue() for _ in range(3)]
    ran = []

    async def handler(payload):
        ran.append(payload["n"])
        await asyncio.sleep(0)

    for round_ in range(5):
        async with at_work(*(Worker(queue, {"t": handler}, concurrency=5) for queue in queues)):
            await queues[0].add_tasks([NewTask("t", {"n": round_ * 100 + n}) for n in range(100)])
    await run_all(queues[0], {"t": handler})
    assert sorted(ran) == list(range(500))
    await check_drained(queues[0])


async def test_a_lasting_worker_is_ready_and_a_stuck_one_is_not(make_queue):
    """check() passes while tasks are looked for, and raises when a lease's time nobody has looked."""
    queue = await make_queue(lease_seconds=0.2)
    worker = Worker(queue, {})
    await until(lambda: _raises(worker))
    async with at_work(worker):
        await until(lambda: not _raises(worker))


async def _is_pending(queue, task_id):
    return await queue.get_task_status(task_id) is TaskStatus.PENDING


def _raises(worker):
    try:
        worker.check()
    except RuntimeError:
        return True
    return False
