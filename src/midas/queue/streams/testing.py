"""For tests of programs that use a queue: run one task without Redis, run all that wait, move the clock.

``TaskQueue(clock=…)`` takes a clock that passes only when told to: delays, leases and expiries follow it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from midas.queue.streams.config import TaskPriority
from midas.queue.streams.handlers import bind
from midas.queue.streams.messages import Body, Head, pack_body, unpack_body
from midas.queue.streams.task import StreamTask, make_id, stream_of
from midas.queue.streams.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from midas.queue.streams.handlers import Handler
    from midas.queue.streams.queue import TaskQueue
    from midas.queue.streams.statistics import Statistics


async def run_inline(
    handler: Handler,
    payload: dict[str, Any] | None = None,
    *,
    task_type: str = "inline",
    attempt: int = 1,
    timeout: float = 60.0,  # noqa: ASYNC109 -- told to the handler
) -> Any:
    """Run one task in the caller, as a worker would, and give what the handler gives or raise what it raises.

    The payload goes through the encoding that a real one goes through, so what could not be sent is found here.

    Args:
        handler: As ``Worker`` takes them.
        payload: The task's arguments.
        task_type: What the task says it is.
        attempt: Which run it says it is.
        timeout: What it says its run may take; nobody stops it.

    Raises:
        InvalidTask: The payload cannot be sent.
    """
    body = unpack_body(pack_body(task_type, payload or {}, {}))
    return await bind(handler, concurrency=1_000_000)(_task(task_type, body, attempt, timeout))


async def drain(queue: TaskQueue, handlers: Mapping[str, Handler], *, concurrency: int = 10) -> Statistics:
    """Run everything that waits, its retries included, and say how the queue stands then."""
    await Worker(queue, handlers, concurrency).run(until_empty=True)
    return await queue.statistics()


def _task(task_type: str, body: Body, attempt: int, seconds: float) -> StreamTask:
    task_id = make_id()
    return StreamTask(
        message_id=task_id,
        id=task_id,
        type=task_type,
        payload=body.payload,
        priority=TaskPriority.NORMAL,
        timeout=seconds,
        attempt=attempt,
        waited_seconds=0.0,
        carrier=body.carrier,
        worker_id="inline",
        taken_at=time.monotonic(),
        head=Head(task_id, task_type, attempt - 1, 0, 0, 0, round(seconds * 1000), 0, "", []),
        stream=stream_of(TaskPriority.NORMAL),
        entry="0-0",
        limited="",
        size=0,
        started_at=time.monotonic(),
    )
