"""Memory of a file that grows without ever moving.

A file that is mapped anew when it grows would leave every series with an address that is no longer right. So it
grows by further mappings, and no record lies across two of them.

Blocks of the disk are taken when the file grows. Without that, a full disk would show itself at the first store into
an empty page: as SIGBUS, which ends the program.
"""

from __future__ import annotations

import errno
import mmap
import os
from typing import Final, NamedTuple

from botmetry.metrics.prefork.alive import OwnFile
from botmetry.metrics.prefork.layout import RECORD_BYTES, filler_bytes

__all__ = ["Place", "Segments"]

_FIRST_BYTES: Final = max(16 * 1024, mmap.ALLOCATIONGRANULARITY)
"""Room for the series of a small worker, so that a short life costs one mapping."""

_LARGEST_BYTES: Final = 1024 * 1024
"""Growing by more would waste disk, growing by less would cost mappings."""


class Place(NamedTuple):
    """Where a record lies.

    Attributes:
        offset: In the file.
        memory: Its bytes, writable.
    """

    offset: int
    memory: memoryview


class Segments:
    """The mapped memory of a file, or memory of this process alone when there is no file."""

    def __init__(self, file: OwnFile | None) -> None:
        self._file = file
        self._maps: list[tuple[int, memoryview]] = []
        self._size = 0
        self.used = 0
        """Bytes that are in use."""

    def append(self, data: bytes) -> Place:
        """Store a record, or the header, behind what is there.

        Raises:
            OSError: The disk is full, or the file cannot grow.
        """
        self._make_room(len(data))
        start, memory = self._maps[-1]
        place = Place(self.used, memory[self.used - start : self.used - start + len(data)])
        place.memory[:] = data
        self.used += len(data)
        return place

    def at(self, offset: int, length: int) -> memoryview:
        """Return the memory of something that was stored."""
        for start, memory in reversed(self._maps):
            if start <= offset:
                return memory[offset - start : offset - start + length]
        raise IndexError(offset)

    def copy(self) -> bytes:
        """Return what is stored."""
        return b"".join(memory for _, memory in list(self._maps))[: self.used]

    def _make_room(self, length: int) -> None:
        left = self._size - self.used
        # A rest that is too small for the head of a record could not be marked as skipped.
        if length == left or length + RECORD_BYTES <= left:
            return
        step = mmap.ALLOCATIONGRANULARITY
        wanted = min(max(_FIRST_BYTES, self._size), _LARGEST_BYTES)
        size = -(-max(wanted, length + RECORD_BYTES) // step) * step
        new = self._map(size)
        if left:
            start, memory = self._maps[-1]
            memory[self.used - start :] = filler_bytes(left)
            self.used += left
        self._maps.append((self._size, new))
        self._size += size

    def _map(self, size: int) -> memoryview:
        if self._file is None:
            return memoryview(mmap.mmap(-1, size))
        if not self._file.intact():
            raise OSError(f"the descriptor of {self._file.name} was closed by somebody else")
        descriptor = self._file.descriptor
        _take_blocks(descriptor, self._size, size)
        return memoryview(mmap.mmap(descriptor, size, offset=self._size))


def _take_blocks(descriptor: int, offset: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, offset, size)
    except (AttributeError, OSError) as error:  # macOS does not have it, and some file systems do not
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise
        if os.pwrite(descriptor, bytes(size), offset) != size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
