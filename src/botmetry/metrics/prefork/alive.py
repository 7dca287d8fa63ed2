"""A process lives while it holds the lock on its file.

The kernel takes the lock (`flock`) back however the process ends, and a process number that was given to another
process deceives nobody. The lock belongs to the open file that is mapped, and lasts as long as the mapping, even in a
program that closes all its descriptors to become a daemon.
"""

from __future__ import annotations

import fcntl
import os
import time

__all__ = ["OwnFile", "has_ended", "lock", "unlock"]


class OwnFile:
    """The file of this process: open, and locked.

    Attributes:
        name: Its name in the folder.
        descriptor: To write it.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        """Lock the file.

        Raises:
            OSError: Its file system has no locks.
        """
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.name = name
        self.descriptor = descriptor
        about = os.fstat(descriptor)
        self._identity = (about.st_dev, about.st_ino)

    def intact(self) -> bool:
        """Return whether the descriptor still is that of the file; a daemon may have closed it and opened another."""
        try:
            about = os.fstat(self.descriptor)
        except OSError:
            return False
        return (about.st_dev, about.st_ino) == self._identity

    def close(self) -> None:
        """Close the descriptor. The lock stays while the file is mapped, here or in the process we were forked from."""
        if self.intact():
            os.close(self.descriptor)


def has_ended(descriptor: int) -> bool:
    """Return whether the process that a file belongs to has ended."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Explicitly, not by closing: a child that is forked this moment has the descriptor, too.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def lock(descriptor: int, wait_seconds: float) -> bool:
    """Lock a file for this process alone; return False when another one keeps it locked for longer."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.001)  # there is no `flock` with a time limit
        else:
            return True


def unlock(descriptor: int) -> None:
    """Take back `lock`; see `has_ended` for why closing is not enough."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
