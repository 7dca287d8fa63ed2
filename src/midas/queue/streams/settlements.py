"""What may become of a delivery, as the values that ``settle.lua`` reads."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from midas.queue.streams.messages import HISTORY_LENGTH, Note, pack_head, pack_note, pack_outcome
from midas.queue.tasks import TaskStatus

if TYPE_CHECKING:
    from midas.queue.streams.config import TaskQueueConfig
    from midas.queue.streams.messages import Head
    from midas.queue.streams.task import StreamTask

Settlement: TypeAlias = tuple[str, int, str, str, str, str, bytes | str, bytes | int, str]
"""What becomes of one delivery, as ``settle.lua`` reads it."""

_LONGEST_LINE: Final = 500
_LONGEST_TEXT: Final = 20_000
_MOST_DOUBLINGS: Final = 62


def completed(task: StreamTask, result: object) -> Settlement:
    """It is done.

    Raises:
        InvalidTask: The result cannot be sent.
    """
    return _done(task, TaskStatus.COMPLETED, pack_outcome(TaskStatus.COMPLETED, task.entry, result=result))


def ended(task: StreamTask, status: TaskStatus, reason: str) -> Settlement:
    """It ended without a result, and will not be tried again."""
    return _done(task, status, pack_outcome(status, task.entry, reason=reason or status))


def returned(task: StreamTask) -> Settlement:
    """Somebody else shall run it, at once, and it is not to blame."""
    return _again(task, task.head, 0, "given_back")


def retried(task: StreamTask, reason: str, delay: float) -> Settlement:
    """It failed, and is run again after `delay` seconds."""
    return _again(task, _failed(task.head, reason), round(delay * 1000), "retried")


def buried(
    task: StreamTask, reason: str, traceback: str, status: TaskStatus = TaskStatus.FAILED
) -> Settlement:
    """It is given up: into the dead letters."""
    note = pack_note(Note(_text(reason), _text(traceback), task.worker_id))
    outcome = pack_outcome(status, task.entry, reason=reason)
    return ("dead", task.stream, task.entry, task.id, task.head.unique, task.limited, note, outcome, "")


def recovered(  # noqa: PLR0917 -- the fields of one entry
    stream: int, entry: str, head: Head, reader: str, limited: str, most_deliveries: int
) -> Settlement:
    """Its worker died: somebody else runs it, unless too many died with it already."""
    reason = f"lost its worker {reader}"
    deliveries = head.deliveries + 1
    if deliveries >= most_deliveries:
        reason = f"lost its worker {deliveries} times, last {reader}"
        outcome = pack_outcome(TaskStatus.FAILED, entry, reason=reason)
        note = pack_note(Note(reason, "", reader))
        return ("dead", stream, entry, head.id, head.unique, limited, note, outcome, "")
    again = msgspec.structs.replace(head, deliveries=deliveries, history=_history(head, reason))
    return ("again", stream, entry, head.id, head.unique, limited, pack_head(again), 0, "recovered")


def retry_delay(config: TaskQueueConfig, retries: int) -> float:
    """Seconds before run ``retries + 2``: anything from 0 to a limit that doubles, so that herds disperse.

    Exponential backoff with full jitter and a cap, after M. Brooker, "Exponential Backoff And Jitter" (AWS
    Architecture Blog, 2015).
    """
    doubled: float = config.retry_seconds * 2.0 ** min(retries, _MOST_DOUBLINGS)
    return random.uniform(0.0, min(config.longest_retry_seconds, doubled))  # noqa: S311 -- not a secret


def _done(task: StreamTask, status: TaskStatus, outcome: bytes) -> Settlement:
    return ("done", task.stream, task.entry, task.id, task.head.unique, task.limited, status, outcome, "")


def _again(task: StreamTask, head: Head, delay_ms: int, counted: str) -> Settlement:
    return (
        "again",
        task.stream,
        task.entry,
        task.id,
        head.unique,
        task.limited,
        pack_head(head),
        delay_ms,
        counted,
    )


def _failed(head: Head, reason: str) -> Head:
    return msgspec.structs.replace(head, retries=head.retries + 1, history=_history(head, reason))


def _history(head: Head, reason: str) -> list[str]:
    return [*head.history, _text(" ".join(reason.split())[:_LONGEST_LINE])][-HISTORY_LENGTH:]


def _text(text: str) -> str:
    """Make of the text of an exception, which may hold lone surrogates and whole documents, one that can be sent."""
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode()


def unreadable(stream: int, entry: str, worker_id: str, error: Exception) -> Settlement:
    """Its head cannot be decoded, so that nobody knows what it is: into the dead letters, under its place."""
    reason = str(error)
    note = pack_note(Note(reason, "", worker_id))
    outcome = pack_outcome(TaskStatus.FAILED, entry, reason=reason)
    return ("dead", stream, entry, f"unreadable:{entry}@{stream}", "", "", note, outcome, "")
