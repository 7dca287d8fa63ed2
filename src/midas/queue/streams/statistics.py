"""How much is where in a queue, and what was done how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botmetry import QueueState
from midas.queue.streams.config import PRIORITIES, TaskPriority

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Statistics:
    """A queue at one moment, and its counts since it was made.

    Attributes:
        waiting: Tasks in line, by priority.
        delayed: Tasks that wait for their time.
        parked: Tasks whose type has as many runs, or starts, as it may.
        in_flight: Tasks that a worker has.
        dead: Dead letters.
        oldest_age_seconds: Age of the oldest task in line; 0 when there is none.
        next_due_seconds: Until the next delayed task is due; None when there is none.
        readers: Readers with a lease.
        added: Tasks added.
        completed: Tasks that ended with a result.
        failed: Tasks that ended without one: dead letters, timeouts and cancellations.
        timed_out: Of these, tasks that were not begun in time. Those that took too long are dead letters.
        cancelled: Of these, cancelled ones.
        retried: Runs after an error.
        recovered: Tasks taken from dead workers.
        dead_lettered: Tasks given up, ever.
        discarded: Dead letters thrown away because there were more than ``max_dead``.
    """

    waiting: Mapping[TaskPriority, int]
    delayed: int
    parked: int
    in_flight: int
    dead: int
    oldest_age_seconds: float
    next_due_seconds: float | None
    readers: int
    added: int
    completed: int
    failed: int
    timed_out: int
    cancelled: int
    retried: int
    recovered: int
    dead_lettered: int
    discarded: int

    @property
    def ready(self) -> int:
        """Tasks in line."""
        return sum(self.waiting.values())

    def state(self) -> QueueState:
        """What ``telemetry.queue.watch`` shows."""
        return QueueState(
            ready=self.ready,
            delayed=self.delayed + self.parked,
            in_flight=self.in_flight,
            dead=self.dead,
            oldest_age_seconds=self.oldest_age_seconds,
        )


def statistics_of(reply: Sequence[Any]) -> Statistics:
    """Read the reply of ``measure.lua``."""
    *waiting, delayed, parked, in_flight, dead, age, due, readers, counts = reply
    names = [name.decode() for name in counts[::2]]
    counted = dict(zip(names, map(int, counts[1::2]), strict=True))
    timed_out, cancelled = counted.get("TIMEOUT", 0), counted.get("CANCELLED", 0)
    given_up = counted.get("dead", 0)
    return Statistics(
        waiting=dict(zip(PRIORITIES, waiting, strict=True)),
        delayed=delayed,
        parked=parked,
        in_flight=in_flight,
        dead=dead,
        oldest_age_seconds=max(0, age) / 1000,
        next_due_seconds=due / 1000 if due >= 0 else None,
        readers=readers,
        added=counted.get("added", 0),
        completed=counted.get("COMPLETED", 0),
        failed=counted.get("FAILED", 0) + timed_out + cancelled + given_up,
        timed_out=timed_out,
        cancelled=cancelled,
        retried=counted.get("retried", 0),
        recovered=counted.get("recovered", 0),
        dead_lettered=given_up,
        discarded=counted.get("discarded", 0),
    )
