"""Checks a new task, and makes of it what ``add.lua`` reads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeAlias

from midas.queue.errors import InvalidTask
from midas.queue.streams.config import MOST_RETRIES
from midas.queue.streams.messages import Head, pack_body, pack_head
from midas.queue.streams.task import check_unique_key, make_id, stream_of
from midas.queue.tasks import check_id, check_type, milliseconds

if TYPE_CHECKING:
    from midas.queue.streams.calls import Clock
    from midas.queue.streams.config import TaskQueueConfig
    from midas.queue.streams.task import NewTask

Addition: TypeAlias = tuple[int, str, bytes, bytes, int, str, int]
"""One new task, as ``add.lua`` reads it."""


def addition_of(
    new: NewTask, config: TaskQueueConfig, carrier: dict[str, str], clock: Clock | None
) -> Addition:
    """Check a task and pack it.

    Raises:
        InvalidTask: It is impossible.
    """
    check_type(new.task_type)
    if new.task_id is not None:
        check_id(new.task_id)
    if new.unique_key is not None:
        check_unique_key(new.unique_key)
    stream = stream_of(new.priority)
    retries = config.max_retries if new.max_retries is None else new.max_retries
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= MOST_RETRIES:
        raise InvalidTask(f"max_retries is a whole number from 0 to {MOST_RETRIES} and not {retries!r}")
    now = time.time() if clock is None else clock()
    start = new.start(now)
    timeout = config.default_timeout if new.timeout is None else new.timeout
    task_id = new.task_id or make_id()
    head = Head(
        task_id,
        new.task_type,
        0,
        0,
        0 if clock is None else _enqueued(round(now * 1000), start),
        0 if new.expires is None else milliseconds(new.expires, "an expiry"),
        milliseconds(timeout, "a timeout"),
        retries,
        new.unique_key or "",
        [],
    )
    body = pack_body(new.task_type, new.payload, carrier)
    return stream, task_id, pack_head(head), body, start, head.unique, int(new.task_id is not None)


def _enqueued(now_ms: int, start: int) -> int:
    """When a task gets in line, ms since 1970; the server knows where there is no clock but its own."""
    return max(now_ms, -start) if start < 0 else now_ms + start
