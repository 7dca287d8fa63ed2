"""What only those who work with a queue from inside can do wrong; the errors of its users stand in ``midas.errors``.

::

    QueueError
    ├── InvalidTask (ValueError)      a task that cannot be enqueued: nothing was sent
    ├── UnreadableTask (ValueError)   an envelope that cannot be decoded: wrong bytes or a version from the future
    └── TaskError
        └── LeaseLost                 the task is somebody else's now, or done: the caller's result was not taken
"""

from __future__ import annotations

from midas.errors import QueueError, TaskError


class InvalidTask(QueueError, ValueError):  # noqa: N818 -- named for what happened, as its relatives in midas.errors
    """A task cannot be enqueued as it was given; nothing was sent."""


class UnreadableTask(QueueError, ValueError):  # noqa: N818 -- see above
    """The bytes of a task are no envelope, or one of a version that this program does not know."""


class LeaseLost(TaskError):  # noqa: N818 -- see above
    """The caller does not own the task any more, so what it wanted to say about it was refused."""

    happened = "is not owned by this delivery any more"
