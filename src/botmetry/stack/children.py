"""Child processes that end with us, in good order where there is time, without it where there is none."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Child", "last_words", "stop_all"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOOK_SECONDS = 0.05
_LAST_BYTES = 4096
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Child:
    """A running program, in a process group of its own: Ctrl-C at the terminal reaches us alone.

    On Linux the kernel kills it when we are gone, whatever ended us.

    Args:
        name: What people call it.
        command: Absolute path and arguments.
        environ: Its whole environment.
        folder: Where it runs.
        output: A file for what it prints; appended to.

    Raises:
        OSError: The program or the file cannot be opened.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, environ: Mapping[str, str], folder: Path, output: Path
    ) -> None:
        self.name = name
        self.output = output
        self.started_at = time.monotonic()
        with output.open("ab") as sink:
            self._popen = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                cwd=folder,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - the only thread is this one, and it lives as long as we do
            )

    @property
    def pid(self) -> int:
        """Its process id, and its group's."""
        return self._popen.pid

    @property
    def ending(self) -> str | None:
        """How it ended, in words; None while it runs."""
        code = self._popen.poll()
        if code is None:
            return None
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def ask(self) -> None:
        """Ask it to end."""
        if self._popen.poll() is None:
            self._popen.terminate()

    def kill(self) -> None:
        """End it and whatever it started, and wait for its end."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()


def stop_all(children: Sequence[Child], seconds: float) -> None:
    """End all children: politely, after `seconds` by force, and their groups in any case."""
    for child in reversed(children):
        child.ask()
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(child.ending is None for child in children):
        time.sleep(_LOOK_SECONDS)
    for child in children:
        child.kill()


def last_words(path: Path) -> str:
    """Return the last line that was printed into `path`, for a message."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _LAST_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
