"""What becomes of a task whose run failed: another run after a pause, or the dead letters. Counted and logged here."""

from __future__ import annotations

import math
import traceback
from typing import TYPE_CHECKING

from midas.queue.errors import GiveUp, InvalidTask, Retry
from midas.queue.streams import settlements
from midas.queue.tasks import TaskStatus

if TYPE_CHECKING:
    from midas.queue.streams.calls import Settlement
    from midas.queue.streams.queue import TaskQueue
    from midas.queue.streams.task import StreamTask


def failed(queue: TaskQueue, task: StreamTask, error: BaseException | str) -> Settlement:
    """Decide about a task by its error: whatever it is, this raises nothing.

    ``GiveUp`` and ``InvalidTask`` are final, and so is the error of the last run; ``Retry`` may say how long the pause
    is. A last error that is a ``TimeoutError`` makes the task TIMEOUT.
    """
    reason = _reason(error)
    if isinstance(error, GiveUp | InvalidTask) or task.head.retries >= task.head.max_retries:
        status = TaskStatus.TIMEOUT if isinstance(error, TimeoutError) else TaskStatus.FAILED
        return buried(queue, task, reason, _traceback(error), status)
    queue.telemetry.queue.retried(queue.name)
    return settlements.retried(task, reason, _pause(queue, task, error))


def buried(
    queue: TaskQueue, task: StreamTask, reason: str, trace: str = "", status: TaskStatus = TaskStatus.FAILED
) -> Settlement:
    """Give a task up, whatever runs it has left."""
    queue.note_dead(task.id, task.type, reason)
    return settlements.buried(task, reason, trace, status)


def _pause(queue: TaskQueue, task: StreamTask, error: BaseException | str) -> float:
    wanted = error.delay if isinstance(error, Retry) else None
    if wanted is None or not 0 <= wanted < math.inf:
        return settlements.retry_delay(queue.config, task.head.retries)
    return wanted


def _reason(error: BaseException | str) -> str:
    if isinstance(error, str):
        return error or "no reason given"
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 -- an error that cannot even say what it is, is one all the same
        text = "(its text cannot be had)"
    if text and isinstance(error, GiveUp | Retry | InvalidTask):
        return text
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def _traceback(error: BaseException | str) -> str:
    return "" if isinstance(error, str) else "".join(traceback.format_exception(error))
