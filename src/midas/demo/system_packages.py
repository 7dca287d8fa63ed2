"""``midas setup``: the programs of the distribution that make the demo complete, without starting anything by itself.

Prometheus and Alertmanager come from Debian's or Ubuntu's packages. As root they are installed; their packages would
start services on the very ports that the demo wants, so the maintainer scripts are told not to (``policy-rc.d``, put
back afterwards), and under systemd the new units are disabled. Without root the exact command is printed. Nothing here
ever stops the demo: it runs without them.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from botmetry.stack.native import find_program

__all__ = ["missing_packages", "missing_watchers", "set_up"]

_POLICY = Path("/usr/sbin/policy-rc.d")
_MARK = "# written by midas setup and removed by it"
# 101: "action forbidden by policy" (Debian Policy Manual, invoke-rc.d)
_FORBID = f"#!/bin/sh\n{_MARK}\nexit 101\n"
_ASIDE = ".before-midas-setup"
_SYSTEMD = Path("/run/systemd/system")
_UPDATE_SECONDS = 120.0
_INSTALL_SECONDS = 300.0
_PROGRESS_SECONDS = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Package:
    name: str
    unit: str
    is_present: Callable[[], bool]


_PACKAGES = (
    _Package(
        "prometheus",
        "prometheus.service",
        lambda: find_program("prometheus") is not None and _has("promtool"),
    ),
    _Package(
        "prometheus-alertmanager",
        "prometheus-alertmanager.service",
        lambda: find_program("alertmanager") is not None,
    ),
    _Package("redis-server", "redis-server.service", lambda: _has("redis-server")),
)


def missing_packages() -> list[str]:
    """Return the packages whose programs are not on the PATH."""
    return [package.name for package in _PACKAGES if not package.is_present()]


def missing_watchers() -> list[str]:
    """Return one line for the screen when the demo runs without Prometheus or Alertmanager, else nothing."""
    missing = [name for name in missing_packages() if name.startswith("prometheus")]
    return [f"without {' and '.join(missing)}, which {_command(missing)} installs"] if missing else []


def set_up(say: Say = print) -> None:
    """Install what is missing where that is possible, else say how; never fails."""
    missing = missing_packages()
    if not missing:
        say("system packages: nothing is missing")
        return
    if os.geteuid() != 0 or not _has("apt-get"):
        say(
            f"system packages missing: {', '.join(missing)}; the demo goes on without them. "
            f"To have them: {_command(missing)}"
        )
        return
    say(f"system packages missing: {', '.join(missing)}; installing them")
    try:
        with _services_forbidden(_POLICY):
            _apt(("update",), _UPDATE_SECONDS, say)
            _apt(("install", "--yes", "--no-install-recommends", *missing), _INSTALL_SECONDS, say)
        _disable_units(missing, say)
    except (OSError, subprocess.SubprocessError) as error:
        say(f"system packages could not be installed ({error}); the demo goes on without them")
        return
    say(f"system packages installed: {', '.join(missing)}")


def _command(packages: Sequence[str]) -> str:
    return f"`sudo apt-get install --no-install-recommends {' '.join(packages)}`"


@contextlib.contextmanager
def _services_forbidden(policy: Path) -> Iterator[None]:
    """Keep packages from starting services within the block; an administrator's own policy is put back afterwards."""
    aside = policy.with_name(policy.name + _ASIDE)
    if policy.exists() and _MARK not in policy.read_text(errors="replace"):
        policy.rename(aside)
    try:
        policy.write_text(_FORBID)
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)
        if aside.exists():
            aside.rename(policy)


def _apt(arguments: Sequence[str], seconds: float, say: Say) -> None:
    """Run apt-get without questions, saying every few seconds that it still runs.

    Raises:
        subprocess.SubprocessError: It failed, or took longer than `seconds`.
    """
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=60", *arguments]
    environ = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        "NEEDRESTART_SUSPEND": "1",
        "LC_ALL": "C.UTF-8",
    }
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - a fixed program, names from the table above
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as apt:
        while True:
            try:
                output, _ = apt.communicate(timeout=_PROGRESS_SECONDS)
                break
            except subprocess.TimeoutExpired:
                elapsed = time.monotonic() - began
                if elapsed > seconds:
                    apt.terminate()
                    raise
                say(f"  apt-get {arguments[0]}: {elapsed:.0f} s")
    if apt.returncode != 0:
        last = (output.strip().splitlines() or ["it printed nothing"])[-1]
        raise subprocess.SubprocessError(f"apt-get {arguments[0]}: {last}")


def _disable_units(packages: Sequence[str], say: Say) -> None:
    """Keep the units of newly installed packages from taking the demo's ports at the next start of the machine."""
    if not _SYSTEMD.is_dir():
        return
    units = [package.unit for package in _PACKAGES if package.name in packages]
    subprocess.run(["systemctl", "disable", "--quiet", *units], check=True, capture_output=True)  # noqa: S603, S607
    say(f"  their services are installed but not enabled: {', '.join(units)}")


def _has(program: str) -> bool:
    return shutil.which(program) is not None
