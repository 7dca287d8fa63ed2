"""Every Redis key of a queue, built from its name and nowhere else.

All keys carry the hash tag ``{q:<name>}``, so a Redis Cluster holds one queue in one slot and a script may touch all of
its keys, each of which is declared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")

_PLACES: Final = (
    "ready",  # sorted set: id by priority and sequence number
    "in_flight",  # sorted set: id by the end of its lease, ms
    "deadlines",  # sorted set: id by the end of its wait, or of its run, ms
    "arrivals",  # sorted set: id of a waiting task by the time it was enqueued, ms
    "records",  # hash: id -> JSON of what the scripts know about the task
    "bodies",  # hash: id -> envelope
    "results",  # hash: id -> outcome
    "finished",  # sorted set: id by the end of its result's life, ms
    "forgotten",  # sorted set: id by the end of the memory that it existed, ms
    "dead",  # sorted set: id by the time it was given up, ms
    "sequence",  # counter: how many tasks were ever enqueued
    "marker",  # sorted set of at most one member: its presence wakes one waiting worker
)


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The keys of one queue.

    Attributes:
        name: A lower-case letter, then up to 63 lower-case letters, digits, ``_`` and ``-``.
    """

    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a queue is called like 'ai' or 'mail-2' and not {self.name!r}")

    @property
    def places(self) -> tuple[str, ...]:
        """The keys that every script is given, in the order in which ``prelude.lua`` names them."""
        return tuple(f"{{q:{self.name}}}:{place}" for place in _PLACES)

    @property
    def marker(self) -> str:
        """Where a worker waits while the queue is empty."""
        return f"{{q:{self.name}}}:marker"

    @property
    def channel(self) -> str:
        """The pub/sub channel on which the id of every finished task is said."""
        return f"{{q:{self.name}}}:finished_ids"

    def lease(self, duty: str) -> str:
        """The key that a process holds while it does a periodic duty, so that one does it at a time."""
        return f"{{q:{self.name}}}:lease:{duty}"
