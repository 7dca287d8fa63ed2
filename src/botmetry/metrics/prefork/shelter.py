"""Where the shared folder is: one that the user names, or one of our own that nobody has to clean up."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from botmetry.errors import SettingsError
from botmetry.metrics.prefork.folder import Folder

__all__ = ["find_folder", "leave"]

_PREFIX: Final = "botmetry-prefork-"
_YOUNG_SECONDS: Final = 60.0
"""A folder that is younger may be that of a program that is just beginning, and has no file in it yet."""


def find_folder(given: bool | str) -> Folder:  # noqa: FBT001 - it is the user's word, as given
    """Return the folder that the user named, or for True a new one that processes forked from here share.

    Raises:
        SettingsError: There is no such folder, or a process started by `spawn` asks for one of its own.
    """
    if not isinstance(given, bool):
        if not given or not Path(given).is_dir():
            raise SettingsError("prefork", given, "an existing folder; make it first, with mkdir")
        return Folder(Path(given).resolve())
    if _was_spawned():
        expected = "the path of a folder, because a spawned process does not know the one of its parent"
        raise SettingsError("prefork", given, expected)
    # Memory rather than a disk: while a page of a disk is written back, the next store to it may have to wait.
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder that nobody else can have prepared
    parent = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    _sweep(parent)
    return Folder(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)), temporary=True)


def leave(folder: Folder, own: list[str]) -> None:
    """Remove a folder of our own making, unless another process lives in it."""
    if folder.temporary:
        with suppress(OSError):
            folder.remove_if_deserted(own)


def _was_spawned() -> bool:
    # The start method that multiprocessing tells is the default of the parent, not how this process came to be.
    marks = ("--multiprocessing-fork", "multiprocessing.forkserver")
    return any(mark in argument for argument in sys.orig_argv for mark in marks)


def _sweep(parent: Path) -> None:
    """Remove what programs left that were killed before they could."""
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            about = path.stat()
            if about.st_uid == os.getuid() and time.time() - about.st_mtime > _YOUNG_SECONDS:
                Folder(path).remove_if_deserted([])
