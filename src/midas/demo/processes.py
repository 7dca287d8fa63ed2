"""Child processes that cannot be left behind: own process group, death signal, bounded stop.

Three roads lead to the end of a child: `Child.stop` (a polite signal, then SIGKILL to its whole group after a
deadline), the end of the process that started it (the kernel sends the death signal, also after ``kill -9``), and its
own exit.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

__all__ = ["Child", "spawn"]

_LEASH = Path(__file__).with_name("leash.py")

# The kernel ties the death signal to the thread that forked. Children are therefore forked by one thread that lives
# until the interpreter ends, never by a pool's or a test's short-lived thread, whose end would kill them.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="midas-forker")


class Child:
    """One running (or ended) program.

    Args:
        name: What people call it; also the name of its output file.
        popen: The process as started by `spawn`.
        stop_signal: What asks it to end in good order.
    """

    def __init__(self, name: str, popen: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
        self.name = name
        self._popen = popen
        self._stop_signal = stop_signal

    @property
    def pid(self) -> int:
        """Return the process id, which is its process group's as well."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Return None while it runs, else its exit code (minus the signal's number when one ended it)."""
        return self._popen.poll()

    @property
    def alive(self) -> bool:
        """Return whether it still runs."""
        return self.returncode is None

    @property
    def ending(self) -> str:
        """Return how it ended, in words."""
        code = self.returncode
        if code is None:
            return "runs"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to the whole group; nothing happens when it has ended."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signum)

    def ask_to_stop(self) -> None:
        """Send the polite signal and return at once; a stopped (SIGSTOP) process is woken so that it can hear it."""
        if self.alive:
            self._popen.send_signal(self._stop_signal)
            self.send(signal.SIGCONT)

    def stop(self, deadline_seconds: float = 10.0) -> int:
        """End it: politely, then after `deadline_seconds` with SIGKILL to the group; return its exit code."""
        self.ask_to_stop()
        return self.wait_or_kill(deadline_seconds)

    def wait_or_kill(self, deadline_seconds: float) -> int:
        """Wait for its end, at most `deadline_seconds`, then kill the group; return its exit code."""
        try:
            self._popen.wait(max(deadline_seconds, 0.0))
        except subprocess.TimeoutExpired:
            self.kill()
        return self._popen.wait()

    def kill(self) -> None:
        """Send SIGKILL to the group and wait for its end."""
        self.send(signal.SIGKILL)
        self._popen.wait()

    def wait_until_gone(self, seconds: float) -> bool:
        """Wait at most `seconds` for its own end; return whether it came."""
        end = time.monotonic() + seconds
        while self.alive and time.monotonic() < end:
            time.sleep(0.01)
        return not self.alive


def spawn(
    name: str,
    command: Sequence[str | os.PathLike[str]],
    *,
    output: Path,
    environ: Mapping[str, str] | None = None,
    user: str | None = None,
    folder: Path | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    death_signal: signal.Signals = signal.SIGKILL,
) -> Child:
    """Start a program on a leash.

    Args:
        name: What people call it.
        command: Absolute path of the program, then its arguments.
        output: File that receives what it prints on stdout and stderr; appended to.
        environ: Its whole environment; None for ours.
        user: Name of the account that it runs under; None for ours. Needs root.
        folder: Its working folder; None for ``/``, which every account can enter.
        stop_signal: What asks it to end in good order.
        death_signal: What the kernel sends when we die. SIGKILL reaches a stopped process too; a program with
            children of its own needs one that it passes on.

    Raises:
        OSError: The program, the folder or the output file cannot be opened.
    """
    program = os.fspath(command[0])
    if not os.access(program, os.X_OK):
        raise FileNotFoundError(f"{name}: {program} is not a program that can be executed")
    leash = [
        sys.executable,
        "-I",
        "-S",
        str(_LEASH),
        str(int(death_signal)),
        str(os.getpid()),
        user or "-",
        *(os.fspath(part) for part in command),
    ]
    with output.open("ab") as sink:
        popen = _forker.submit(_fork, leash, sink, environ, folder or Path("/")).result()
    return Child(name, popen, stop_signal)


def _fork(
    command: list[str], sink: IO[bytes], environ: Mapping[str, str] | None, folder: Path
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=sink,
        stderr=subprocess.STDOUT,
        env=None if environ is None else dict(environ),
        cwd=folder,
        start_new_session=True,  # Ctrl-C at the terminal reaches us only; we decide the order of the end
    )
