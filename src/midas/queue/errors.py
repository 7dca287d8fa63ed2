"""What goes wrong with a queue beyond what its users see, who find theirs in ``midas.errors``; and what handlers raise.

::

    QueueError
    ├── InvalidTask (ValueError)      a task that cannot be enqueued: nothing was sent
    ├── UnreadableTask (ValueError)   an envelope that cannot be decoded: wrong bytes or a version from the future
    ├── QueueFull                     as many tasks wait as may: what found no room was not added
    └── TaskError
        ├── LeaseLost                 the task is somebody else's now, or done: the caller's result was not taken
        └── TaskCancelled             somebody did not want it any more

``midas.redis.errors`` has those about the server, which sagas have, too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from midas.errors import QueueError, TaskError

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_DELAY_SECONDS: Final = 10 * 366 * 86_400.0
"""Ten years: whatever is further away is a mistake, and milliseconds of it are a number that everybody can hold."""


class InvalidTask(QueueError, ValueError):  # noqa: N818 -- named for what happened, as its relatives in midas.errors
    """A task cannot be enqueued as it was given; nothing was sent."""


class UnreadableTask(QueueError, ValueError):  # noqa: N818 -- see above
    """The bytes of a task are no envelope, or one of a version that this program does not know."""


class LeaseLost(TaskError):  # noqa: N818 -- see above
    """The caller does not own the task any more, so what it wanted to say about it was refused."""

    happened = "is not owned by this delivery any more"


class TaskCancelled(TaskError):  # noqa: N818 -- see above
    """The task was cancelled before it was done."""

    happened = "was cancelled"


class QueueFull(QueueError):  # noqa: N818 -- see above
    """As many tasks wait as may; what found no room was not added.

    Attributes:
        queue: The queue's name.
        most: How many may wait.
        ids: For each task that was to be added, in their order: its id, or None where it was not added.
    """

    def __init__(self, queue: str, most: int, ids: Sequence[str | None]) -> None:
        refused = sum(task_id is None for task_id in ids)
        of_many = f", and {refused} of {len(ids)} were not added" if len(ids) > 1 else ""
        super().__init__(
            f"the queue {queue!r} is full: {most} tasks may wait{of_many}. Try again later, start workers, or raise "
            "max_waiting"
        )
        self.queue = queue
        self.most = most
        self.ids = tuple(ids)


class Retry(Exception):  # noqa: N818 -- raised by handlers, to say what is to be done
    """Raised by a handler: run the task again.

    Args:
        reason: Why, for the task's history.
        delay: Until then: seconds, 0 to ten years, or a ``timedelta``; the usual pause where it is None.

    Raises:
        TypeError: The delay is no number, such as the text of a ``Retry-After`` header: that may be a date, too.
        ValueError: The delay is too long, negative, or NaN.
    """

    def __init__(self, reason: str = "asked for", delay: float | timedelta | None = None) -> None:
        super().__init__(reason)
        self.delay = None if delay is None else _seconds(delay)


def _seconds(delay: float | timedelta) -> float:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"a delay is a number of seconds or a timedelta and not {delay!r}")
    if not 0 <= seconds <= LONGEST_DELAY_SECONDS:
        raise ValueError(f"a delay is 0 to {LONGEST_DELAY_SECONDS:.0f} seconds and not {delay!r}")
    return float(seconds)


class GiveUp(Exception):  # noqa: N818 -- raised by handlers, to say what is to be done
    """Raised by a handler: no further run would help. The task goes to the dead letters at once."""
