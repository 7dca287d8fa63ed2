"""The folder that the processes of one program share.

========================  ============================================================
`<pid>-<token>.live`      the counts of one process; locked while it lives
`archive`                 the counts of all processes that ended
`merging`                 locked by the process that rewrites the archive
`key`                     what user ids are hashed with
`service`                 whose processes share the folder
`.new-<token>`            a file that is not complete yet
`*.damaged`               a file that could not be read, kept for people
========================  ============================================================
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from stat import S_ISREG
from typing import Final, NamedTuple

from botmetry.metrics.forks import in_children
from botmetry.metrics.prefork import alive
from botmetry.metrics.prefork.layout import CPU_AT

__all__ = ["ARCHIVE", "Folder", "Listing"]

ARCHIVE: Final = "archive"
_MERGING: Final = "merging"
_KEY: Final = "key"
_SERVICE: Final = "service"
_LIVE: Final = ".live"
_NEW: Final = ".new-"
_DAMAGED: Final = ".damaged"
_ABANDONED_SECONDS: Final = 60.0
"""A file is complete in a millisecond; one that is not after this time never will be."""
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # never waits for somebody's named pipe


class Listing(NamedTuple):
    """What lies in the folder.

    Attributes:
        live: Files of processes, living or ended since the archive was written.
        foreign: Names that are none of ours.
    """

    live: list[str]
    foreign: list[str]


class Folder:
    """A folder with the counts of several processes.

    Attributes:
        path: Where it is.
        temporary: Whether it is of our own making.
    """

    def __init__(self, path: Path, *, temporary: bool = False) -> None:
        self.path = path
        self.temporary = temporary
        self._descriptors: set[int] = set()
        in_children(self._close_inherited)

    def create(self, header: bytes, pid: int) -> alive.OwnFile:
        """Make this process's file, locked from the moment others can see it.

        Raises:
            OSError: The folder is gone, full or not writable, or its file system has no locks.
        """
        if self.temporary:  # its maker may have ended before a child of it counted for the first time
            self.path.mkdir(mode=0o700, exist_ok=True)
        hidden = self.path / f"{_NEW}{token_hex(8)}"
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
        try:
            os.write(descriptor, header)
            file = alive.OwnFile(f"{pid}-{token_hex(8)}{_LIVE}", descriptor)
            hidden.rename(self.path / file.name)
        except BaseException:
            os.close(descriptor)
            hidden.unlink(missing_ok=True)
            raise
        return file

    def listing(self) -> Listing:
        """Return what lies in the folder.

        Raises:
            OSError: It is gone or cannot be read.
        """
        live: list[str] = []
        foreign: list[str] = []
        for name in sorted(file.name for file in self.path.iterdir()):
            if name.endswith(_LIVE):
                live.append(name)
            elif not _is_ours(name):
                foreign.append(name)
        return Listing(live, foreign)

    @contextmanager
    def open(self, name: str, flags: int = os.O_RDONLY) -> Iterator[int]:
        """Give a descriptor of an existing file, for a `with` block.

        Raises:
            OSError: It is gone, not ours to open, or no ordinary file.
        """
        descriptor = os.open(self.path / name, flags | _FLAGS, 0o666)
        self._descriptors.add(descriptor)
        try:
            if not S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(f"{name} is no ordinary file")
            yield descriptor
        finally:
            self._descriptors.discard(descriptor)
            os.close(descriptor)

    def write(self, name: str, data: bytes) -> None:
        """Write a file as a whole: others see the old one or the new one.

        Raises:
            OSError: The folder is gone, full or not writable.
        """
        hidden = self._written(data, 0o666)
        hidden.rename(self.path / name)

    def note_cpu(self, name: str, seconds: float) -> None:
        """Write into a file how much processor time its process was seen with."""
        with (
            suppress(OSError),
            self.open(name, os.O_WRONLY) as descriptor,
        ):  # it may be gone, or another user's
            os.pwrite(descriptor, struct.pack("=d", seconds), CPU_AT)

    def has_ended(self, name: str) -> bool:
        """Return whether the process that a file belongs to has ended."""
        with suppress(OSError), self.open(name) as descriptor:
            return alive.has_ended(descriptor)
        return False

    def set_aside(self, name: str) -> None:
        """Keep a file that cannot be read where nobody reads it."""
        with suppress(FileNotFoundError):
            (self.path / name).rename(self.path / (name + _DAMAGED))

    def remove(self, names: list[str]) -> None:
        """Remove files, and what was never completed."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)
        for file in self.path.glob(f"{_NEW}*"):
            with suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > _ABANDONED_SECONDS:
                    file.unlink()

    @contextmanager
    def merging(self, wait_seconds: float = 0.0) -> Iterator[bool]:
        """Be the only one to rewrite the archive, for a `with` block; False when somebody else is at it.

        Nobody who reads waits for this, so a process that is stopped here holds up no scrape.
        """
        with self.open(_MERGING, os.O_RDONLY | os.O_CREAT) as descriptor:
            alone = alive.lock(descriptor, wait_seconds)
            try:
                yield alone
            finally:
                if alone:
                    alive.unlock(descriptor)

    def key(self) -> bytes:
        """Return 16 random bytes that all processes of the folder agree on.

        Raises:
            OSError: The folder is gone, or the key belongs to another user.
        """
        return self._agreed(_KEY, os.urandom(16), 0o660)

    def service(self, name: str) -> str:
        """Return the service whose processes share the folder: the first that came, which is `name` if nobody has.

        Raises:
            OSError: The folder is gone, or cannot be written to.
        """
        return self._agreed(_SERVICE, name.encode(), 0o664).decode("utf-8", "replace")

    def _agreed(self, name: str, proposal: bytes, mode: int) -> bytes:
        place = self.path / name
        with suppress(FileNotFoundError):
            return place.read_bytes()
        hidden = self._written(proposal, mode)
        with suppress(FileExistsError):  # another process was faster: what it says is agreed
            os.link(hidden, place)
        hidden.unlink()
        return place.read_bytes()

    def remove_if_deserted(self, own: list[str]) -> None:
        """Remove the folder when no process but this one has a living file in it.

        Raises:
            OSError: Somebody has put something else there.
        """
        names = [file.name for file in self.path.iterdir()]
        if all(self.has_ended(name) for name in names if name.endswith(_LIVE) and name not in own):
            for name in filter(_is_ours, names):
                (self.path / name).unlink(missing_ok=True)
            self.path.rmdir()

    def _written(self, data: bytes, mode: int) -> Path:
        hidden = self.path / f"{_NEW}{token_hex(8)}"
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise
        return hidden

    def _close_inherited(self) -> None:
        """Close what a thread of the parent had open: nobody else would, and a lock would last as long as we do."""
        descriptors, self._descriptors = self._descriptors, set()
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)


def _is_ours(name: str) -> bool:
    return (
        name in {ARCHIVE, _MERGING, _KEY, _SERVICE}
        or name.startswith(_NEW)
        or name.endswith((_LIVE, _DAMAGED))
    )
