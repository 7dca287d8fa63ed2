"""How many connections to Redis a queue needs at least, so that nobody waits for one that nobody gives back.

Some are held for good: by the subscriptions, and by a reader that waits for tasks. The lines over which scripts are
sent keep some, too (``midas.redis.lines``). What is left over is for everything else.
"""

from __future__ import annotations

from itertools import count
from typing import Final

from midas.redis import most_kept

_FOR_THE_QUEUE: Final = 2
"""The subscription of those who wait for results, and one for whatever else there is to ask."""
_FOR_A_READER: Final = 2
"""The take that waits for something to come, and the subscription that says what is not wanted any more."""


class Connections:
    """The account of one queue's connections.

    Args:
        most: How many it may have.

    Raises:
        ValueError: They are too few even without a reader.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._readers = 0
        self._check(0)

    def enter_reader(self) -> None:
        """A reader begins.

        Raises:
            ValueError: There are too few connections for one more.
        """
        self._check(self._readers + 1)
        self._readers += 1

    def leave_reader(self) -> None:
        """A reader has ended."""
        self._readers -= 1

    def _check(self, readers: int) -> None:
        if not _suffice(self._most, readers):
            needed = next(most for most in count(self._most) if _suffice(most, readers))
            whom = f"{readers} workers or loops that consume tasks" if readers else "a queue"
            raise ValueError(
                f"max_connections={self._most!r} is too few for {whom} in one TaskQueue: give it {needed} or more"
            )


def _suffice(most: int, readers: int) -> bool:
    return most_kept(most) + _FOR_THE_QUEUE + _FOR_A_READER * readers <= most
