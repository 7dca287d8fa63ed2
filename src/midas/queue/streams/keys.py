"""Every Redis key of a streams queue, built from its name and nowhere else.

All keys carry the hash tag ``{q:<name>}``, so a Redis Cluster holds one queue in one slot. Every script is given all of
them, and the result keys of the tasks that it may end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")

_PLACES: Final = (
    *(
        f"new:{priority}" for priority in (100, 75, 50, 25)
    ),  # streams: tasks that nobody has taken yet, by priority
    *(f"again:{priority}" for priority in (100, 75, 50, 25)),  # streams: tasks that came back, by priority
    "delayed",  # sorted set: id by the time it is due, ms
    "cards",  # hash: id -> stream, head and body of a delayed or parked task
    "parked",  # sorted set, by member: type, priority, place in line and id of tasks whose limit lets them wait
    "busy",  # sorted set, by member: type and id of running tasks whose type has a limit
    "pace",  # hash: type with a rate -> its next moment, ms; "paid <id>" of a task that has been given one
    "live",  # hash: id -> where the task is, until it ends
    "unique",  # hash: unique key -> id of the live task that has it
    "known",  # sorted set: id given by a caller, by the time it is forgotten, ms
    "cancelled",  # sorted set: id of a running task that shall stop, by the time that was said, ms
    "awaited",  # sorted set: id whose end somebody waits for, by the time until which he does, ms
    "alive",  # sorted set: reader by the end of its lease, ms
    "dead",  # sorted set: id by the time it was given up, ms
    "graves",  # hash: id -> stream, head, body and note of a task that was given up
    "stats",  # hash: what was done how often
    "turns",  # hash: whose turn it is
    "marker",  # sorted set of at most one member: its presence wakes one waiting reader
)


@dataclass(frozen=True)
class StreamKeys:
    """The keys of one queue.

    Attributes:
        name: A lower-case letter, then up to 63 lower-case letters, digits, ``_`` and ``-``.
    """

    name: str
    tag: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a queue is called like 'tasks' or 'mail-2' and not {self.name!r}")
        object.__setattr__(self, "tag", f"{{q:{self.name}}}:")

    @cached_property
    def places(self) -> tuple[str, ...]:
        """The keys that every script is given, in the order in which ``prelude.lua`` names them."""
        return tuple(self.tag + place for place in _PLACES)

    def with_results(self, task_ids: Iterable[str]) -> tuple[str, ...]:
        """The keys of a script that may end these tasks."""
        return (*self.places, *(f"{self.tag}result:{task_id}" for task_id in task_ids))

    def stream(self, index: int) -> str:
        """The stream with a number of the scripts, 1..8, without the tag: ``new:50``."""
        return _PLACES[index - 1]

    @property
    def cancelled_ids(self) -> str:
        """The ids of running tasks that shall stop."""
        return self.tag + "cancelled"

    @property
    def marker(self) -> str:
        """Where a reader waits while there is nothing to take."""
        return self.tag + "marker"

    @property
    def ended(self) -> str:
        """The pub/sub channel on which the id of a task that somebody waits for is said when it ends."""
        return self.tag + "ended"

    @property
    def cancellations(self) -> str:
        """The pub/sub channel on which the id of a running task is said that shall stop."""
        return self.tag + "cancelled"

    def lease(self, duty: str) -> str:
        """The key that a process holds while it does a periodic duty, so that one does it at a time."""
        return f"{self.tag}lease:{duty}"
