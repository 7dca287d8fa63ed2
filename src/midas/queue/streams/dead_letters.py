"""Tasks that were given up: look at them, try them again, or throw them away."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from midas.errors import TaskUnknown
from midas.queue.errors import UnreadableTask
from midas.queue.streams.messages import Head, pack_head, unpack_body, unpack_head, unpack_note
from midas.queue.streams.task import priority_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from midas.queue.streams.calls import Calls
    from midas.queue.streams.config import TaskPriority
    from midas.redis import Call

_AT_A_TIME: Final = 100
_FIELDS: Final = 6


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A task that was given up.

    Attributes:
        id: The task's id.
        type: The task's type.
        payload: Its arguments; None where they cannot be decoded.
        priority: Which stream it came from.
        reason: Why it was given up.
        traceback: Of the last error, or empty.
        history: What went wrong before, one line each.
        retries: Runs that ended in an error.
        deliveries: Workers that died with it.
        worker: Who gave it up.
        died_at: Seconds since 1970 by Redis's clock.
    """

    id: str
    type: str
    payload: dict[str, Any] | None
    priority: TaskPriority
    reason: str
    traceback: str
    history: tuple[str, ...]
    retries: int
    deliveries: int
    worker: str
    died_at: float


class DeadLetters(ABC):
    """The side of a queue that keeps what was given up."""

    calls: Calls

    @abstractmethod
    async def ask(self, call: Call) -> Any:
        """Send a call for which a person may be waiting."""

    async def dead_letters(self, limit: int = _AT_A_TIME) -> list[DeadLetter]:
        """List what was given up, the latest first.

        Raises:
            QueueUnavailable: Redis did not answer within a second.
        """
        reply = await self.ask(self.calls.dead(limit))
        return [_letter(*fields) for fields in _rows(reply)]

    async def dead_letter(self, task_id: str) -> DeadLetter:
        """Show one.

        Raises:
            TaskUnknown: No such task was given up.
            QueueUnavailable: Redis did not answer within a second.
        """
        reply = await self.ask(self.calls.dead(1, [task_id]))
        if not reply:
            raise TaskUnknown(task_id, "no task with this id is among the dead letters")
        return _letter(*reply)

    async def replay(self, task_ids: Sequence[str] | None = None) -> int:
        """Try tasks again that were given up, all of them where no ids are given; give their number.

        They keep their id and get a new account of retries and deliveries. What cannot be decoded stays, and what has
        a unique key that another task has got meanwhile.

        Raises:
            QueueUnavailable: Redis did not answer within a second. What was replayed before is.
        """
        total = 0
        for ids in await self._chosen(task_ids):
            heads = []
            for task_id, _, _, packed, body, _ in _rows(await self.ask(self.calls.dead(len(ids), ids))):
                head = _readable(packed)
                if head is not None and _payload(body) is not None:
                    fresh = msgspec.structs.replace(head, retries=0, deliveries=0, enqueued=0)
                    heads.append((task_id.decode(), pack_head(fresh)))
            if heads:
                total += await self.ask(self.calls.replay(heads))
        return total

    async def purge(self, task_ids: Sequence[str] | None = None) -> int:
        """Throw away tasks that were given up, all of them where no ids are given; give their number.

        Raises:
            QueueUnavailable: Redis did not answer within a second. What was purged before is.
        """
        total = 0
        for ids in await self._chosen(task_ids):
            total += await self.ask(self.calls.purge(len(ids), ids))
        return total

    async def _chosen(self, task_ids: Sequence[str] | None) -> list[list[str]]:
        if task_ids is None:
            task_ids = [task_id.decode() for task_id in await self.ask(self.calls.buried())]
        return [list(task_ids[at : at + _AT_A_TIME]) for at in range(0, len(task_ids), _AT_A_TIME)]


def _rows(reply: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (reply[at : at + _FIELDS] for at in range(0, len(reply), _FIELDS))


def _readable(packed: bytes) -> Head | None:
    try:
        return unpack_head(packed)
    except UnreadableTask:
        return None


def _payload(body: bytes) -> dict[str, Any] | None:
    try:
        return unpack_body(body).payload
    except UnreadableTask:
        return None


def _letter(  # noqa: PLR0917 -- the fields of one row
    task_id: bytes, died_at: bytes, stream: int, packed_head: bytes, body: bytes, note: bytes
) -> DeadLetter:
    head, why = _readable(packed_head), unpack_note(note)
    return DeadLetter(
        id=task_id.decode(),
        type=head.type if head else "",
        payload=_payload(body),
        priority=priority_of(stream),
        reason=why.reason,
        traceback=why.traceback,
        history=tuple(head.history) if head else (),
        retries=head.retries if head else 0,
        deliveries=head.deliveries if head else 0,
        worker=why.worker,
        died_at=float(died_at) / 1000,
    )
