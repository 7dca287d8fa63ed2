"""What is wrong with a Redis that answers; one that does not is ``midas.errors.QueueUnavailable``.

::

    QueueError
    ├── NotDurable        written, but not yet on as many disks or replicas as were asked for
    └── UnsafeServer      a Redis that may throw away what it is to keep, or is too old
"""

from __future__ import annotations

from midas.errors import QueueError


class NotDurable(QueueError):  # noqa: N818 -- named for what happened, as its relatives in midas.errors
    """It was written, but Redis did not confirm in time that enough disks or replicas have it."""


class UnsafeServer(QueueError):  # noqa: N818 -- see above
    """The Redis server is set up so that what it is to keep would be lost, or cannot do what is needed."""
