"""A task as its worker holds it, the states it passes through, and what may be enqueued at all."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from midas.queue.errors import InvalidTask

MOST_URGENT: Final = 100
_TYPE: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
# A thousandth of a second is what the scripts count in; a lease is half of the task's time, so two of them.
_LEAST_SECONDS: Final = 0.002
_MOST_SECONDS: Final = 30 * 86_400.0


class TaskStatus(StrEnum):
    """PENDING, then PROCESSING, then one of COMPLETED, FAILED, TIMEOUT and, in a streams queue, CANCELLED."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Task:
    """One delivery of a task: who holds this object may say how the task ended, until the lease is lost.

    Attributes:
        id: The task's id, the same in every delivery.
        type: By which the handler is found.
        payload: The handler's arguments.
        priority: 0..100, 100 first.
        timeout: Seconds that a run may take.
        deliveries: Which delivery this is, counted from 1.
        enqueued_at: When it was first enqueued, seconds since 1970 by Redis's clock.
        waited_seconds: From then until this delivery.
        lease_seconds: How long the lease lasts unless it is extended.
        carrier: Trace and log context of whoever enqueued it.
        worker_id: Whom it was delivered to.
        token: What this delivery, and no other, ends the task with.
        taken_at: Moment of the delivery on ``time.monotonic()``'s scale.
    """

    id: str
    type: str
    payload: dict[str, Any]
    priority: int
    timeout: float
    deliveries: int
    enqueued_at: float
    waited_seconds: float
    lease_seconds: float
    carrier: dict[str, str]
    worker_id: str
    token: str = field(repr=False)
    taken_at: float = field(repr=False)

    def seconds_left(self) -> float:
        """Seconds until the result will be refused because the run took too long; 0 or less when they are over."""
        return self.taken_at + self.timeout - time.monotonic()


@dataclass(frozen=True, slots=True)
class DeadTask:
    """A task that was given up.

    Attributes:
        id: The task's id.
        type: The task's type.
        reason: Why it was given up.
        deliveries: How often it was delivered.
        died_at: Seconds since 1970 by Redis's clock.
        body: The envelope as it was sent, whatever it is.
    """

    id: str
    type: str
    reason: str
    deliveries: int
    died_at: float
    body: bytes = field(repr=False)


def check_task(task_type: str, task_id: str, priority: int) -> None:
    """Refuse a task that the queue could not carry.

    Raises:
        InvalidTask: The type, the id or the priority is impossible.
    """
    check_type(task_type)
    check_id(task_id)
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= MOST_URGENT:
        raise InvalidTask(f"a priority is a whole number from 0 to {MOST_URGENT} and not {priority!r}")


@lru_cache(1_024)  # the same few are said again and again
def check_type(task_type: str) -> None:
    """Refuse a type that could not be a label.

    Raises:
        InvalidTask: It is not a lower-case letter and up to 63 lower-case letters, digits, ``_`` and ``.``.
    """
    if not isinstance(task_type, str) or not _TYPE.fullmatch(task_type):
        raise InvalidTask(f"a task type is called like 'categorize_transaction' and not {task_type!r}")


def check_id(task_id: str) -> None:
    """Refuse an id that could not be part of a key.

    Raises:
        InvalidTask: It is not 1 to 128 letters, digits and any of ``_.:-``.
    """
    if not isinstance(task_id, str) or not _ID.fullmatch(task_id):
        raise InvalidTask(f"a task id is 1 to 128 letters, digits and any of _.:- and not {task_id!r}")


def milliseconds(seconds: float, name: str) -> int:
    """Turn a duration into what the scripts count in.

    Raises:
        InvalidTask: It is not from 2 ms to 30 days long.
    """
    try:
        is_possible = math.isfinite(seconds) and _LEAST_SECONDS <= seconds <= _MOST_SECONDS
    except TypeError:
        is_possible = False
    if not is_possible:
        raise InvalidTask(f"{name} is {_LEAST_SECONDS} to {_MOST_SECONDS:.0f} seconds and not {seconds!r}")
    return round(seconds * 1000)
