"""What the scripts answer, as values: bytes and lists come in, tasks and sightings go out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from midas.errors import ResultExpired, TaskFailed, TaskTimeout, TaskUnknown
from midas.queue.envelope import Envelope, unpack_outcome
from midas.queue.tasks import DeadTask, Task, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Delivery:
    """A task as the script ``take`` hands it out, before anybody knows whether its body can be read."""

    id: str
    body: bytes
    type: str
    priority: int
    timeout: float
    lease_seconds: float
    number: int
    enqueued_at: float
    delivered_at: float

    @classmethod
    def parse(cls, fields: Sequence[Any]) -> Delivery | None:
        """Read the reply; None when there was no task."""
        if not fields:
            return None
        task_id, body, task_type, priority, timeout, lease, number, enqueued, now = fields
        return cls(
            id=task_id.decode(),
            body=body,
            type=task_type.decode(),
            priority=int(priority),
            timeout=timeout / 1000,
            lease_seconds=lease / 1000,
            number=int(number),
            enqueued_at=enqueued / 1000,
            delivered_at=now / 1000,
        )

    def task(self, envelope: Envelope, worker_id: str, token: str, taken_at: float) -> Task:
        """Put together what the worker gets."""
        return Task(
            id=self.id,
            type=envelope.type,
            payload=envelope.payload,
            priority=self.priority,
            timeout=self.timeout,
            deliveries=self.number,
            enqueued_at=self.enqueued_at,
            waited_seconds=max(0.0, self.delivered_at - self.enqueued_at),
            lease_seconds=self.lease_seconds,
            carrier=envelope.carrier,
            worker_id=worker_id,
            token=token,
            taken_at=taken_at,
        )


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where a task was when somebody looked.

    Attributes:
        task_id: Which task.
        state: PENDING, PROCESSING, FINISHED, EXPIRED or UNKNOWN.
        outcome: How it ended, if it is FINISHED.
        seconds_left: Until its time is over, 0 where that does not matter.
    """

    task_id: str
    state: str
    outcome: bytes
    seconds_left: float

    @classmethod
    def parse(cls, task_id: str, state: bytes, outcome: bytes, left: int) -> Sighting:
        """Read the reply."""
        return cls(task_id, state.decode(), outcome, left / 1000)

    @property
    def is_final(self) -> bool:
        """Whether looking again would show nothing else."""
        return self.state not in TaskStatus.__members__

    def status(self) -> TaskStatus:
        """Give the state that the task's users know.

        Raises:
            TaskUnknown: It was never enqueued.
            ResultExpired: It ended, and how is forgotten.
        """
        self._check_known()
        return TaskStatus(unpack_outcome(self.outcome)[0].state if self.is_final else self.state)

    def result(self) -> dict[str, Any]:
        """Give the result of a task whose state is final.

        Raises:
            TaskUnknown: It was never enqueued.
            ResultExpired: It ended, and how is forgotten.
            TaskFailed: It failed.
            TaskTimeout: It waited or ran too long.
        """
        self._check_known()
        outcome, result = unpack_outcome(self.outcome)
        if outcome.state == TaskStatus.TIMEOUT:
            raise TaskTimeout(self.task_id, outcome.reason)
        if outcome.state == TaskStatus.FAILED:
            raise TaskFailed(self.task_id, outcome.reason)
        return result

    def _check_known(self) -> None:
        if self.state == "UNKNOWN":
            raise TaskUnknown(self.task_id)
        if self.state == "EXPIRED":
            raise ResultExpired(self.task_id)


def pairs(flat: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    """Read ids and types of tasks that timed out while they waited."""
    texts = [text.decode() for text in flat]
    return zip(texts[::2], texts[1::2], strict=True)


def dead_task(task_id: bytes, record: bytes, died_at: bytes, body: bytes) -> DeadTask:
    """Read one entry of the dead set."""
    known = json.loads(record)
    return DeadTask(
        id=task_id.decode(),
        type=known["type"],
        reason=known["reason"],
        deliveries=known["deliveries"],
        died_at=float(died_at) / 1000,
        body=body,
    )
