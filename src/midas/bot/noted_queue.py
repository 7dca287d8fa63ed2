"""The task queue with a notepad: whoever starts something that queues tasks can see afterwards which ones.

`SyncService` says how many tasks it queued. The bot has to tell the user how exactly these ended, so it lends the
service this queue and reads the notes. Notes follow the context: what another user's handler queues is not among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from midas.queue import AITaskQueue


class Noted(NamedTuple):
    """A task that was queued."""

    task_id: str
    transaction_id: int
    """What it is about."""


_notes: ContextVar[list[Noted] | None] = ContextVar("midas_bot_notes", default=None)


class NotedQueue(AITaskQueue):
    """A queue that writes down what is put in within a `noting` block."""

    async def enqueue_task(self, task_type: str, payload: dict[str, Any], **options: Any) -> str:
        """Put a task in line as `AITaskQueue` does, and note it if it is about a transaction."""
        task_id = await super().enqueue_task(task_type, payload, **options)
        notes = _notes.get()
        if notes is not None and "transaction_id" in payload:
            notes.append(Noted(task_id, payload["transaction_id"]))
        return task_id


@contextmanager
def noting() -> Iterator[list[Noted]]:
    """Give the list that fills with the tasks queued in this block, also by tasks of asyncio that it starts."""
    notes: list[Noted] = []
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)
