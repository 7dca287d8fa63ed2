"""What becomes of a task whose run failed: another run after a pause, or the dead letters. Counted and logged here."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

from midas.queue.errors import LONGEST_DELAY_SECONDS, GiveUp, InvalidTask, Retry
from midas.queue.streams import settlements
from midas.queue.tasks import TaskStatus

if TYPE_CHECKING:
    from midas.queue.streams.queue import TaskQueue
    from midas.queue.streams.settlements import Settlement
    from midas.queue.streams.task import StreamTask

_MOST_CHARACTERS: Final = 200


def failed(queue: TaskQueue, task: StreamTask, error: BaseException | str) -> Settlement:
    """Decide about a task by its error: whatever it is, this raises nothing.

    ``GiveUp`` and ``InvalidTask`` are final, and so is the error of the last run; ``Retry`` may say how long the pause
    is. A last error that is a ``TimeoutError`` makes the task TIMEOUT.
    """
    try:
        return _decided(queue, task, error)
    except (
        Exception
    ) as odd:  # an exception may be of any class, and do anything when it is asked what it says
        queue.telemetry.log.error(  # noqa: TRY400 -- no logger of the standard library
            "queue.error_unreadable", queue=queue.name, task_id=task.id, task_type=task.type, exc_info=odd
        )
        return _decided(queue, task, f"an error of {type(error)!r} that cannot be read")


def _decided(queue: TaskQueue, task: StreamTask, error: BaseException | str) -> Settlement:
    reason = _reason(error)
    if isinstance(error, GiveUp | InvalidTask) or task.head.retries >= task.head.max_retries:
        status = TaskStatus.TIMEOUT if isinstance(error, TimeoutError) else TaskStatus.FAILED
        return buried(queue, task, reason, _traceback(error), status)
    settlement = settlements.retried(task, reason, _pause(queue, task, error))
    queue.telemetry.queue.retried(queue.name)
    return settlement


def buried(
    queue: TaskQueue, task: StreamTask, reason: str, trace: str = "", status: TaskStatus = TaskStatus.FAILED
) -> Settlement:
    """Give a task up, whatever runs it has left."""
    queue.note_dead(task.id, task.type, reason)
    return settlements.buried(task, reason, trace, status)


def _pause(queue: TaskQueue, task: StreamTask, error: BaseException | str) -> float:
    usual = settlements.retry_delay(queue.config, task.head.retries)
    wanted = error.delay if isinstance(error, Retry) else None
    if wanted is None:
        return usual
    # Somebody may have changed it since Retry looked at it.
    if not isinstance(wanted, int | float) or not 0 <= wanted <= LONGEST_DELAY_SECONDS:
        queue.telemetry.log.warning(
            "queue.delay_ignored",
            queue=queue.name,
            task_id=task.id,
            task_type=task.type,
            delay=repr(wanted)[:_MOST_CHARACTERS],
        )
        return usual
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
