"""What a streams queue is made with, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from midas.queue.errors import InvalidTask
from midas.queue.tasks import check_type, milliseconds
from midas.redis import Durability

_GROUP_CHARACTERS: Final = 64
MOST_RETRIES: Final = 1_000


class TaskPriority(IntEnum):
    """How urgent a task is; each has a stream of its own, and four times the share of the next."""

    CRITICAL = 100
    HIGH = 75
    NORMAL = 50
    LOW = 25


PRIORITIES: Final = tuple(TaskPriority)
"""In the order of their streams."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of one task type may happen, in all workers together.

    The others wait in a line of their own, the most urgent priority first, and hold up nobody of another type.

    Attributes:
        concurrency: Runs at a time; None for any number.
        per_second: Starts a second; None for any number.
        burst: Starts at once after a pause, where there is a rate.
    """

    concurrency: int | None = None
    per_second: float | None = None
    burst: int = 1

    def __post_init__(self) -> None:
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"a concurrency is 1 or more and not {self.concurrency!r}")
        if self.per_second is not None and not 0 < self.per_second < math.inf:
            raise ValueError(f"a rate is a number a second above 0 and not {self.per_second!r}")
        if self.burst < 1:
            raise ValueError(f"a burst is 1 or more and not {self.burst!r}")

    @property
    def script_values(self) -> tuple[int, float, float]:
        """Concurrency or 0, ms between two starts or 0, ms that may be caught up with."""
        interval = 0.0 if self.per_second is None else 1000 / self.per_second
        return self.concurrency or 0, interval, interval * (self.burst - 1)


@dataclass(frozen=True, slots=True)
class TaskQueueConfig:
    """One queue.

    Attributes:
        redis_url: ``redis://``, ``rediss://`` or ``unix://``.
        name: A lower-case letter, then lower-case letters, digits, ``_`` and ``-``.
        consumer_group: The group of the streams; all workers of a queue share it.
        batch_size: A worker whose tasks are short holds up to twice as many of them ahead: 1..500.
        max_retries: Runs after the first that a task gets when it fails.
        max_deliveries: A task that so many workers took and died with is given up.
        retry_seconds: The first pause before a retry is 0 to this long, and each further up to twice as long.
        longest_retry_seconds: At most so long.
        default_timeout: Seconds that one run may take unless the task says otherwise.
        lease_seconds: Seconds without a sign of life after which a worker counts as dead.
        result_ttl: Seconds that results are kept; 0 keeps none.
        known_seconds: For so long a task id that a caller gave is recognised when it is given again.
        max_waiting: Tasks that may wait; what finds no room raises ``QueueFull``. 0 for any number.
        max_dead: Dead letters that are kept; of more the oldest go, counted and logged. 0 for any number. The default
            is more than anybody decides about, and at the 2 KiB of a task with a traceback 200 MB.
        age_limit_seconds: A priority whose first task waits longer gets the share of HIGH.
        limits: By task type.
        durability: When a task counts as added.

    Raises:
        ValueError: A value is impossible.
        TypeError: A limit is no ``Limit``.
    """

    redis_url: str = "redis://localhost:6379/0"
    consumer_group: str = "workers"
    batch_size: int = 100
    name: str = "tasks"
    max_retries: int = 3
    max_deliveries: int = 5
    retry_seconds: float = 1.0
    longest_retry_seconds: float = 300.0
    default_timeout: float = 300.0
    lease_seconds: float = 30.0
    result_ttl: float = 3_600.0
    known_seconds: float = 86_400.0
    max_waiting: int = 1_000_000
    max_dead: int = 100_000
    age_limit_seconds: float = 300.0
    limits: Mapping[str, Limit] = field(default_factory=dict)
    durability: Durability = field(default_factory=Durability)

    def __post_init__(self) -> None:
        if not 0 < len(self.consumer_group) <= _GROUP_CHARACTERS:
            raise ValueError(
                f"a consumer group has 1 to {_GROUP_CHARACTERS} characters: {self.consumer_group!r}"
            )
        _check_whole("batch_size", self.batch_size, 1, 500)
        _check_whole("max_retries", self.max_retries, 0, MOST_RETRIES)
        _check_whole("max_deliveries", self.max_deliveries, 1, 1_000)
        _check_whole("max_waiting", self.max_waiting, 0, 2**53)
        _check_whole("max_dead", self.max_dead, 0, 2**53)
        for name in (
            "retry_seconds",
            "longest_retry_seconds",
            "result_ttl",
            "known_seconds",
            "age_limit_seconds",
        ):
            seconds = getattr(self, name)
            if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
                raise ValueError(f"{name} is a number of seconds, 0 or more, and not {seconds!r}")
        for name in ("default_timeout", "lease_seconds"):
            try:
                milliseconds(getattr(self, name), name)
            except InvalidTask as error:
                raise ValueError(str(error)) from None
        for task_type, limit in self.limits.items():
            _check_limit(task_type, limit)


def _check_limit(task_type: str, limit: object) -> None:
    try:
        check_type(task_type)
    except InvalidTask as error:
        raise ValueError(f"a limit is one of a task type: {error}") from None
    if not isinstance(limit, Limit):
        raise TypeError(f"the limit of {task_type} is a Limit and not {limit!r}")


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} is a whole number from {least} to {most} and not {value!r}")
