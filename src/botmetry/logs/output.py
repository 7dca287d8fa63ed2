"""Where lines end up: a standard stream or a file that is appended to, followed when it is rotated.

Lines of several processes that append to the same place do not mix as long as each goes out in one call: to a regular
file at any size (the kernel holds the inode's lock), to a pipe up to `PIPE_BUF`. `block_bytes` is that limit.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from pathlib import Path
from typing import Final

__all__ = ["Output"]

FILE_BLOCK_BYTES: Final = 256 * 1024
"""Each call gives up the interpreter's lock and has to wait for it again, up to 5 ms under load: few large calls."""

_STANDARD: Final = {"stdout": 1, "stderr": 2}
_CLOSED: Final = -1
_FILE_MODE: Final = 0o640  # lines are about people: not for everybody on the machine


class Output:
    """One destination of lines, used by one thread at a time.

    Args:
        name: `stdout`, `stderr`, or the path of a file; it and its folders are made when missing.

    Attributes:
        block_bytes: How many bytes of whole lines go into one `write`; known once `ready` has returned.
    """

    def __init__(self, name: str) -> None:
        self._standard = _STANDARD.get(name)
        self._path = name
        self._descriptor = _CLOSED
        self._identity = (0, 0)
        self.block_bytes = select.PIPE_BUF

    def ready(self) -> bool:
        """Open the destination if it is not open, or if its file was moved away; tell whether that happened.

        Raises:
            OSError: It cannot be opened.
        """
        if self._descriptor != _CLOSED and not self._moved():
            return False
        self.close()
        descriptor = self._open() if self._standard is None else self._standard
        status = os.fstat(descriptor)
        self._descriptor = descriptor
        self._identity = (status.st_dev, status.st_ino)
        shared = stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode) or os.isatty(descriptor)
        self.block_bytes = select.PIPE_BUF if shared else FILE_BLOCK_BYTES
        return True

    def write(self, data: memoryview) -> int:
        """Write the beginning of `data`; return how many bytes that was.

        Waits as long as the destination is full, also when somebody made it non-blocking.

        Raises:
            OSError: The destination is broken.
        """
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()

    def heals(self, error: OSError) -> bool:
        """Tell whether trying again may help. A standard stream without a reader stays without one."""
        return self._standard is None or error.errno not in {errno.EPIPE, errno.EBADF}

    def close(self) -> None:
        """Close a file; leave a standard stream alone. The next `ready` opens it again."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED and self._standard is None:
            os.close(descriptor)

    def _open(self) -> int:
        # O_APPEND: the end is found at each write, so truncating the file in place (copytruncate) works too.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, flags, _FILE_MODE)
        except ValueError as error:  # a path that no system call takes
            raise OSError(errno.EINVAL, str(error), self._path) from error

    def _moved(self) -> bool:
        if self._standard is not None:
            return False
        try:
            status = os.stat(self._path)  # noqa: PTH116 - the cheapest way: this runs before each write
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != self._identity
