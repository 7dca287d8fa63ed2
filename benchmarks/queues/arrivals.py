"""When a task began: one process appends to a file, another reads it."""

from __future__ import annotations

import os
import struct
from functools import cache
from time import monotonic_ns

_PAIR = struct.Struct("=qq")


@cache
def _file() -> int:
    return os.open(os.environ["ARRIVALS"], os.O_CREAT | os.O_RDWR | os.O_APPEND)


def arrived(added_ns: int, tag: int | None = None) -> int:
    """Note how long ago the task was added: the clock is the machine's, so processes agree on it.

    The tag is the worker's process id, unless the task has one.
    """
    waited_ns = monotonic_ns() - added_ns
    os.write(_file(), _PAIR.pack(os.getpid() if tag is None else tag, waited_ns))
    return 1


class Arrivals:
    """What has been noted since the last look."""

    def __init__(self) -> None:
        self._read = 0

    def new(self) -> list[tuple[int, int]]:
        """Return (tag, nanoseconds waited) of each task that began since the last call."""
        noted = os.fstat(_file()).st_size - self._read
        data = os.pread(_file(), noted - noted % _PAIR.size, self._read)
        self._read += len(data)
        return list(_PAIR.iter_unpack(data))
