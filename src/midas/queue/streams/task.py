"""A task on its way in, and as its worker holds it."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from midas.queue.errors import LONGEST_DELAY_SECONDS, InvalidTask
from midas.queue.streams.config import PRIORITIES, TaskPriority

if TYPE_CHECKING:
    from midas.queue.streams.messages import Head

_GENERATED: Final = re.compile(r"([0-9a-f]{12})[0-9a-f]{16}")
_LONGEST_UNIQUE_KEY: Final = 256


class NewTask(msgspec.Struct, frozen=True):
    """A task to be added.

    Attributes:
        task_type: By which the worker finds the handler.
        payload: Its arguments: strings, numbers, booleans, bytes, None, lists and dicts of these, at most 1 MiB.
        priority: A ``TaskPriority``, or its number.
        delay: Seconds until it may run.
        at: When it may run, by the queue's clock; has to carry a time zone. Takes the place of ``delay``.
        timeout: Seconds that one run may take; the queue's default where it is None.
        expires: Seconds after which it need not begin any more, counted from when it may: it is TIMEOUT then. None for
            never.
        unique_key: While a task with this key is not finished, another one is not added.
        task_id: An idempotency key: 1 to 128 letters, digits and any of ``_.:-``. A task whose id is known, even of one
            that has ended, is not added again, so that an ``add`` may be repeated. A random one where it is None.
        max_retries: Runs after the first when it fails; the queue's default where it is None.
    """

    task_type: str
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    priority: int = TaskPriority.NORMAL
    delay: float = 0.0
    at: datetime | None = None
    timeout: float | None = None
    expires: float | None = None
    unique_key: str | None = None
    task_id: str | None = None
    max_retries: int | None = None

    def start(self, now: float) -> int:
        """When it may run: in so many milliseconds; or, less than 0, so many milliseconds after the start of 1970.

        A moment is sent as such, so that the clock which all share decides, and not that of whoever adds the task.

        Args:
            now: Seconds since 1970, not exactly: by this it is seen whether a moment is possible.

        Raises:
            InvalidTask: The moment has no time zone, or it is too far away, or the delay is no duration.
        """
        if self.at is None:
            if not self.delay:
                return 0
            seconds = self.delay
        elif not isinstance(self.at, datetime) or self.at.tzinfo is None:
            raise InvalidTask(f"{self.at!r} is no moment with a time zone, such as datetime.now(UTC)")
        else:
            seconds = max(0.0, self.at.timestamp() - now)
        if not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST_DELAY_SECONDS:
            raise InvalidTask(f"a delay is 0 to {LONGEST_DELAY_SECONDS:.0f} seconds and not {seconds!r}")
        return round(seconds * 1000) if self.at is None else min(-1, -round(self.at.timestamp() * 1000))


@dataclass(slots=True, eq=False)
class StreamTask:
    """One delivery of a task. Whoever holds it may say what becomes of it, until its reader's lease is lost.

    Attributes:
        message_id: This delivery, and no other.
        id: The task's id, the same in every delivery.
        type: By which the handler is found.
        payload: The handler's arguments.
        priority: Which stream it came from.
        timeout: Seconds that this run may take.
        attempt: Which run this is, counted from 1: runs that failed and workers that died.
        waited_seconds: From its enqueueing until this delivery.
        carrier: Trace and log context of whoever enqueued it.
        worker_id: Whom it was delivered to.
        taken_at: Moment of the delivery on ``time.monotonic()``'s scale.
    """

    message_id: str
    id: str
    type: str
    payload: dict[str, Any]
    priority: TaskPriority
    timeout: float
    attempt: int
    waited_seconds: float
    carrier: dict[str, str]
    worker_id: str
    taken_at: float
    head: Head = field(repr=False)
    stream: int = field(repr=False)
    entry: str = field(repr=False)
    limited: str = field(repr=False)
    size: int = field(repr=False)
    started_at: float = field(default=0.0, repr=False)

    @property
    def is_overdue(self) -> bool:
        """Whether it waited longer than it was worth."""
        return 0 < self.head.wait < self.waited_seconds * 1000 and self.attempt == 1


def priority_of(stream: int) -> TaskPriority:
    """The priority of a stream with the scripts' number 1..8."""
    return PRIORITIES[(stream - 1) % len(PRIORITIES)]


_STREAMS: Final = {int(priority): place for place, priority in enumerate(PRIORITIES, start=1)}


def stream_of(priority: int) -> int:
    """The stream for new tasks of a priority, as the scripts count them.

    Raises:
        InvalidTask: There is no such priority.
    """
    try:
        return _STREAMS[priority]
    except (KeyError, TypeError):
        choices = ", ".join(f"{known.name} {known.value}" for known in PRIORITIES)
        raise InvalidTask(f"a priority is one of {choices}, and not {priority!r}") from None


def make_id() -> str:
    """A new id: 12 hexadecimal digits of milliseconds since 1970 and 16 random ones."""
    return f"{int(time.time() * 1000):012x}{os.urandom(8).hex()}"


def made_at(task_id: str) -> float | None:
    """When ``make_id`` made an id, in seconds since 1970; None if it did not."""
    made = _GENERATED.fullmatch(task_id)
    return int(made[1], 16) / 1000 if made else None


def check_unique_key(key: str) -> None:
    """Refuse a unique key that could not be told from none.

    Raises:
        InvalidTask: It is empty, too long, or no text that can be sent.
    """
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_UNIQUE_KEY:
        raise InvalidTask(f"a unique key has 1 to {_LONGEST_UNIQUE_KEY} characters and is not {key!r}")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise InvalidTask(f"a unique key is text that can be sent, and not {key!r}") from None
