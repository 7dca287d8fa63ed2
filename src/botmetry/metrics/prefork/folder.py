"""The folder that the processes of one program share: whose file is whose, and who still lives.

A process is alive while it holds the lock (`flock`) on its file. The kernel takes the lock back however the
process ends, and a process number that was given to another process deceives nobody. The lock belongs to the open
file that is mapped, and lasts as long as the mapping, even in a program that closes all its descriptors to become a
daemon.

========================  ============================================================
`<pid>-<token>.live`      the counts of one process; locked while it lives
`archive`                 the counts of all processes that ended
`merging`                 locked by the process that rewrites the archive
`key`                     what user ids are hashed with
`.new-<token>`            a file that is not complete yet
`*.damaged`               a file that could not be read, kept for people
========================  ============================================================
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from stat import S_ISREG
from typing import Final, NamedTuple

from botmetry.errors import SettingsError
from botmetry.metrics.prefork.layout import CPU_AT

__all__ = ["ARCHIVE", "Folder", "Listing", "OwnFile", "has_ended"]

ARCHIVE: Final = "archive"
_LIVE: Final = ".live"
_NEW: Final = ".new-"
_DAMAGED: Final = ".damaged"
_MERGING: Final = "merging"
_KEY: Final = "key"
_TEMPORARY: Final = "botmetry-prefork-"
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


class OwnFile:
    """The file of this process: open, and locked.

    Attributes:
        name: Its name in the folder.
        descriptor: To write it.
    """

    def __init__(self, name: str, descriptor: int) -> None:
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
        """Close the descriptor. The lock stays while the file is mapped."""
        if self.intact():
            os.close(self.descriptor)


class Folder:
    """A folder with the counts of several processes.

    Attributes:
        path: Where it is.
    """

    def __init__(self, path: Path, *, temporary: bool = False) -> None:
        self.path = path
        self.temporary = temporary

    @classmethod
    def of(cls, given: bool | str | os.PathLike[str]) -> Folder:  # noqa: FBT001 - it is the user's word, as given
        """Return the folder that the user named, or for True a new one that processes forked from here share.

        Raises:
            SettingsError: There is no such folder, or a process started by `spawn` asks for one of its own.
        """
        if given is not True:
            path = Path(os.fspath(given or ""))
            if not path.is_dir():
                raise SettingsError("prefork", str(given), "an existing folder; make it first, with mkdir")
            return cls(path.resolve())
        if _was_spawned():
            raise SettingsError(
                "prefork", given, "the path of a folder: a spawned process does not know its parent's folder"
            )
        # Memory rather than a disk: writing back a mapped page of a disk can make the next store to it wait.
        memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder that nobody else can have prepared
        parent = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
        _sweep(parent)
        return cls(Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent)), temporary=True)

    def create(self, header: bytes, pid: int) -> OwnFile:
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
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file = OwnFile(f"{pid}-{token_hex(8)}{_LIVE}", descriptor)
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
            elif name not in _OURS and not name.startswith(_NEW) and not name.endswith(_DAMAGED):
                foreign.append(name)
        return Listing(live, foreign)

    @contextmanager
    def open(self, name: str) -> Iterator[int]:
        """Give a descriptor to read a file with, for a `with` block.

        Raises:
            OSError: It is gone, unreadable, or no ordinary file.
        """
        descriptor = os.open(self.path / name, os.O_RDONLY | _FLAGS)
        try:
            if not S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(f"{name} is no ordinary file")
            yield descriptor
        finally:
            os.close(descriptor)

    def write(self, name: str, data: bytes) -> None:
        """Write a file as a whole: others see the old one or the new one.

        Raises:
            OSError: The folder is gone, full or not writable.
        """
        hidden = self.path / f"{_NEW}{token_hex(8)}"
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            hidden.rename(self.path / name)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise

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

    def note_cpu(self, name: str, seconds: float) -> None:
        """Write into a file how much processor time its process was seen with."""
        with suppress(OSError):  # it is gone, or belongs to another user
            descriptor = os.open(self.path / name, os.O_WRONLY | _FLAGS)
            try:
                os.pwrite(descriptor, struct.pack("=d", seconds), CPU_AT)
            finally:
                os.close(descriptor)

    @contextmanager
    def merging(self, wait_seconds: float = 0.0) -> Iterator[bool]:
        """Be the only one to rewrite the archive, for a `with` block; False when somebody else is at it.

        Nobody who reads waits for this, so a process that is stopped here holds up no scrape.
        """
        descriptor = os.open(self.path / _MERGING, os.O_RDONLY | os.O_CREAT | _FLAGS, 0o666)
        try:
            yield _lock(descriptor, wait_seconds)
        finally:
            os.close(descriptor)

    def key(self) -> bytes:
        """Return 16 random bytes that all processes of the folder agree on.

        Raises:
            OSError: The folder is gone, or the key belongs to another user.
        """
        place = self.path / _KEY
        with suppress(FileNotFoundError):
            return place.read_bytes()
        hidden = self.path / f"{_NEW}{token_hex(8)}"
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o660)
        try:
            os.write(descriptor, os.urandom(16))
            os.close(descriptor)
            with suppress(FileExistsError):  # another process was faster: its key is the one
                os.link(hidden, place)
        finally:
            hidden.unlink()
        return place.read_bytes()

    def remove_if_deserted(self, own: Collection[str]) -> None:
        """Remove a folder of our own making, when no process but this one has a living file in it."""
        if self.temporary:
            with suppress(OSError):
                _remove_if_deserted(self.path, own)


_OURS: Final = frozenset({ARCHIVE, _MERGING, _KEY})


def has_ended(descriptor: int) -> bool:
    """Return whether the process that a file belongs to has ended."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _lock(descriptor: int, wait_seconds: float) -> bool:
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


def _was_spawned() -> bool:
    # The start method that multiprocessing tells is the default of the parent, not how this process came to be.
    marks = ("--multiprocessing-fork", "multiprocessing.forkserver")
    return any(mark in argument for argument in sys.orig_argv for mark in marks)


def _deserted(path: Path, own: Collection[str]) -> bool:
    for file in path.glob(f"*{_LIVE}"):
        with suppress(OSError):
            descriptor = os.open(file, os.O_RDONLY | _FLAGS)
            try:
                if file.name not in own and not has_ended(descriptor):
                    return False
            finally:
                os.close(descriptor)
    return True


def _remove_if_deserted(path: Path, own: Collection[str]) -> None:
    if not _deserted(path, own):
        return
    for file in path.iterdir():
        if file.name in _OURS or file.name.endswith((_LIVE, _DAMAGED)) or file.name.startswith(_NEW):
            file.unlink(missing_ok=True)
    path.rmdir()  # which fails where somebody has put something else


def _sweep(parent: Path) -> None:
    """Remove what programs left that were killed before they could."""
    for path in parent.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):
            about = path.stat()
            old = time.time() - about.st_mtime > _ABANDONED_SECONDS
            if about.st_uid == os.getuid() and old:
                _remove_if_deserted(path, ())
