"""Takes tasks, runs a few at a time, and says how each ended; no task can end the worker.

A task that fails is that task's affair. When PostgreSQL or Redis is away, the task goes back in line and the worker
waits. When the worker stops, it takes nothing more, finishes what runs within a deadline, and gives back the rest.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from midas.errors import QueueUnavailable, StoreUnavailable
from midas.queue import InvalidTask, LeaseLost
from midas.redis.cancellation import end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from botmetry import Telemetry
    from midas.queue import AITaskQueue, LeaseKeeper, Task
    from midas.worker.store_gate import StoreGate

Handler: TypeAlias = "Callable[[Task], Awaitable[dict[str, Any]]]"
Ending: TypeAlias = "Callable[[], Awaitable[None]]"

_LOOK_SECONDS: Final = 2.0
"""How long one call waits for a task before it comes back and shows that the consumer lives."""
_SILENT_SECONDS: Final = 30.0
"""A consumer with free slots that has not looked for so long is stuck."""
_LAST_WORDS_SECONDS: Final = 2.0
"""Giving tasks back takes a millisecond; after this Redis is away, and the leases lapse by themselves."""


class Consumer:
    """Runs the tasks of one queue in this process.

    Args:
        queue: Where tasks come from.
        handlers: By task type; a type that is missing is a dead letter.
        gate: Shut while tasks could not be run anyway.
        telemetry: Where runs are counted, logged and traced.
        worker_id: Who we are, for people who look.
        concurrency: Tasks at a time.
        drain_seconds: Time to finish what runs when told to stop.
    """

    def __init__(
        self,
        queue: AITaskQueue,
        handlers: Mapping[str, Handler],
        gate: StoreGate,
        telemetry: Telemetry,
        *,
        worker_id: str,
        concurrency: int = 4,
        drain_seconds: float = 20.0,
    ) -> None:
        self._queue = queue
        self._handlers = handlers
        self._gate = gate
        self._telemetry = telemetry
        self._worker_id = worker_id
        self._slots = asyncio.Semaphore(concurrency)
        self._drain_seconds = drain_seconds
        self._runs: dict[str, tuple[Task, asyncio.Task[None]]] = {}
        self._looked_at = time.monotonic()

    async def run(self, keeper: LeaseKeeper, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Work until told to stop.

        Args:
            keeper: Renews the leases of what runs.
            stop: Take no more tasks, finish what runs.
            hurry: Give back what runs at once.
        """
        try:
            await _first_of(stop.wait(), self._take_tasks(keeper))
        finally:
            await self._finish(hurry)

    def check(self) -> None:
        """Say whether tasks are being taken; for readiness checks.

        Raises:
            RuntimeError: They are not.
        """
        if not self._gate.is_open:
            raise RuntimeError("no tasks are taken while PostgreSQL is away")
        silent = time.monotonic() - self._looked_at
        if not self._slots.locked() and silent > _SILENT_SECONDS:
            raise RuntimeError(f"nobody has looked for tasks for {silent:.0f} s")

    def lose(self, task: Task) -> None:
        """Stop running a task that is somebody else's now. One whose time is over is stopped by that."""
        if task.seconds_left() <= 0:
            return
        _, run = self._runs.get(task.token, (task, None))
        if run is not None and not run.done():
            self._telemetry.log.warning("worker.task_lost", task_id=task.id, task_type=task.type)
            run.cancel()

    async def _take_tasks(self, keeper: LeaseKeeper) -> None:
        while True:
            await self._slots.acquire()
            await self._gate.wait()
            task = await self._queue.dequeue_task(self._worker_id, wait_seconds=_LOOK_SECONDS)
            self._looked_at = time.monotonic()
            if task is None:
                self._slots.release()
            else:
                self._start(task, keeper)

    def _start(self, task: Task, keeper: LeaseKeeper) -> None:
        keeper.hold(task)
        run = asyncio.create_task(self._run(task), name=f"task {task.id}")
        self._runs[task.token] = (task, run)

        def ended(_: asyncio.Task[None]) -> None:
            keeper.drop(task)
            del self._runs[task.token]
            self._slots.release()

        run.add_done_callback(ended)

    async def _run(self, task: Task) -> None:
        """Run one task in the context of whoever enqueued it, and see to it that its end is known."""
        with (
            self._telemetry.continue_from(task.carrier),
            self._telemetry.context(
                worker_id=self._worker_id, task_id=task.id, task_type=task.type, **_user(task)
            ),
        ):
            try:
                self._telemetry.queue.waited(self._queue.name, task.waited_seconds)
                await self._say(task, await self._attempt(task))
            except Exception as error:
                self._telemetry.log.error("worker.task_abandoned", exc_info=error)  # noqa: TRY400 -- no stdlib logger

    async def _attempt(self, task: Task) -> Ending:
        """Run the handler, and give what is to be said to the queue."""
        handler = self._handlers.get(task.type)
        if handler is None:
            return partial(self._queue.bury, task, f"no worker knows how to do {task.type!r}")
        limit = asyncio.timeout(task.seconds_left())
        try:
            with self._telemetry.queue.task(self._queue.name, task.type):
                async with limit:
                    result = await handler(task)
        except StoreUnavailable as error:
            self._gate.close_for(error)
            return partial(self._queue.retry, task, str(error))
        except QueueUnavailable as error:
            return partial(self._queue.retry, task, str(error))
        except TimeoutError as error:
            own = TimeoutError(f"it was stopped after {task.timeout:g} s")
            return partial(self._queue.fail, task, own if limit.expired() else error)
        except Exception as error:  # noqa: BLE001 -- whatever a handler raises fails its task and nothing else
            return partial(self._queue.fail, task, error)
        return partial(self._queue.store_result, task, result)

    async def _say(self, task: Task, ending: Ending) -> None:
        """Tell the queue, however long Redis is away, unless the task is not ours any more."""
        while True:
            try:
                return await ending()
            except QueueUnavailable:
                await self._queue.availability.pause(at_most=_LOOK_SECONDS)
            except InvalidTask as error:
                ending = partial(self._queue.fail, task, error)
            except LeaseLost as refused:
                self._telemetry.log.warning("worker.ending_refused", reason=str(refused))
                return None

    async def _finish(self, hurry: asyncio.Event) -> None:
        """Wait for what runs, then give back what still does."""
        if self._runs:
            self._telemetry.log.info("worker.draining", running=len(self._runs), seconds=self._drain_seconds)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._drain_seconds):
                    await _first_of(hurry.wait(), asyncio.wait([run for _, run in self._runs.values()]))
        left = list(self._runs.values())
        for _, run in left:
            run.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await asyncio.gather(*(self._give_back(task) for task, _ in left))
                await end(*(run for _, run in left))

    async def _give_back(self, task: Task) -> None:
        with suppress(LeaseLost, QueueUnavailable):
            await self._queue.give_back(task)
            self._telemetry.log.info("worker.task_given_back", task_id=task.id, task_type=task.type)


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of them, end the others, and raise what the first raised."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(*tasks)
    for task in done:
        task.result()


def _user(task: Task) -> dict[str, int]:
    user_id = task.payload.get("user_id")
    return {"user_id": user_id} if isinstance(user_id, int) else {}
