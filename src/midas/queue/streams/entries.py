"""Makes tasks of what lies in the streams; what cannot be read goes to the dead letters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from midas.queue.errors import UnreadableTask
from midas.queue.streams import settlements
from midas.queue.streams.messages import Body, unpack_body, unpack_head
from midas.queue.streams.task import StreamTask, priority_of

if TYPE_CHECKING:
    from midas.queue.streams.messages import Head
    from midas.queue.streams.queue import TaskQueue
    from midas.queue.streams.settler import Settler


class Entries:
    """Reads the entries that one reader gets.

    Args:
        queue: Where they come from.
        worker_id: Who gets them.
        settler: Is told what cannot be read.
    """

    def __init__(self, queue: TaskQueue, worker_id: str, settler: Settler) -> None:
        self._queue = queue
        self._worker_id = worker_id
        self._settler = settler

    def read(  # noqa: PLR0917 -- the fields of one entry
        self, stream: int, entry: str, head: bytes, body: bytes, now_ms: int, taken_at: float
    ) -> StreamTask | None:
        """Give the task that a delivery is; None where it is none."""
        known = self._head(stream, entry, head)
        if known is None:
            return None
        try:
            unpacked = unpack_body(body)
        except UnreadableTask as error:
            task = self._task(stream, entry, known, Body(0, {}, {}), now_ms, taken_at)
            self._settler.settle(task, settlements.buried(task, str(error), ""))
            self._queue.note_dead(task.id, task.type, str(error))
            return None
        return self._task(stream, entry, known, unpacked, now_ms, taken_at, len(body))

    def give_back(self, stream: int, entry: str, head: bytes) -> None:
        """Let others have a delivery that was never seen here: the reply that it was in was lost."""
        known = self._head(stream, entry, head)
        if known is not None:
            task = self._task(stream, entry, known, Body(0, {}, {}), known.enqueued, time.monotonic())
            self._settler.settle(task, settlements.returned(task))

    def _head(self, stream: int, entry: str, packed: bytes) -> Head | None:
        try:
            head = unpack_head(packed)
        except UnreadableTask as error:
            self._settler.bury_unreadable(stream, entry, self._worker_id, error)
            self._queue.note_dead("", "", str(error))
            return None
        head.enqueued = head.enqueued or self._queue.milliseconds_of(entry)
        return head

    def _task(  # noqa: PLR0917 -- the fields of one entry
        self, stream: int, entry: str, head: Head, body: Body, now_ms: int, taken_at: float, size: int = 0
    ) -> StreamTask:
        return StreamTask(
            message_id=f"{entry}@{stream}",
            id=head.id,
            type=head.type,
            payload=body.payload,
            priority=priority_of(stream),
            timeout=head.timeout / 1000,
            attempt=head.retries + head.deliveries + 1,
            waited_seconds=max(0.0, (now_ms - head.enqueued) / 1000),
            carrier=body.carrier,
            worker_id=self._worker_id,
            taken_at=taken_at,
            head=head,
            stream=stream,
            entry=entry,
            limited=head.type if head.type in self._queue.config.limits else "",
            size=size,
        )
