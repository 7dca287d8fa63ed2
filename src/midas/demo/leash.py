"""A leashed program dies with the one that started it: ask the kernel for a death signal, then become the program.

Executed as a script, between fork and the program itself::

    python -I -S leash.py DEATH_SIGNAL PARENT_PID USER|- PROGRAM [ARGUMENT ...]

The death signal (``PR_SET_PDEATHSIG``) can only be asked for by the child. Doing that in ``preexec_fn`` would
run Python code between fork and exec of a process that has threads, which can hang; this program is executed
first and then replaces itself, so the process keeps its pid. A change of credentials clears the death signal, so that
comes first. It is done here, not by ``subprocess(user=...)``, because the interpreter may lie in a folder that only
root can enter.

The kernel sends the signal when the *thread* that forked ends: `midas.demo.processes` forks from one thread that lives
as long as its process. Elsewhere than on Linux there is no such signal and the program merely starts.

Standard library only: it runs without site-packages.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Replace this process with the program; return only by exception."""
    death_signal, parent, user, *command = arguments
    if user != "-":
        _become(user)
    if sys.platform == "linux":
        _die_with_parent(int(death_signal), int(parent))
    os.execv(command[0], command)  # noqa: S606 - becoming that program is the purpose; no shell is involved


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _die_with_parent(death_signal: int, parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent:  # it died before we asked: nobody will send the signal any more
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
