"""What the kernel says of the processes that share a folder, added up over those that live.

Processor time alone is a counter and must not fall when a process ends. So whoever looks at a process writes what it
saw into that process's file, and the archive keeps the sum of what was seen last. A process that begins and ends
between two scrapes is seen by nobody but itself, at its orderly end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from botmetry.metrics.catalogue import CATALOGUE
from botmetry.metrics.prefork.layout import Header

__all__ = ["ProcessCollector", "Seen", "look_at", "namespace"]

_PROC: Final = Path("/proc")
_STARTED: Final = (
    19  # places in /proc/<pid>/stat, counted from behind the program's name; see proc_pid_stat(5)
)
_USER, _SYSTEM, _VIRTUAL, _RESIDENT = 11, 12, 20, 21


class Seen(NamedTuple):
    """One process as the kernel describes it.

    Attributes:
        cpu_seconds: Processor time it spent.
        virtual_bytes: Its address space.
        resident_bytes: Its part of the memory.
        started_at: When it began, as Unix time in seconds.
        open_fds: Its open files; None when we may not know.
        max_fds: How many it may open; None likewise.
    """

    cpu_seconds: float
    virtual_bytes: float
    resident_bytes: float
    started_at: float
    open_fds: int | None
    max_fds: int | None


def namespace() -> int:
    """Return the kernel's number for the pid namespace of this process, 0 where there is none."""
    with suppress(OSError):
        return (_PROC / "self/ns/pid").stat().st_ino
    return 0


def look_at(header: Header) -> Seen | None:
    """Return what the kernel says of a living process, or None when it cannot be asked.

    It lives in another container, or there is no /proc. That it lives is known from its lock, so its number is its own.
    """
    fields = _stat(header.pid) if header.namespace == namespace() else None
    if fields is None:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return Seen(
        (int(fields[_USER]) + int(fields[_SYSTEM])) / ticks,
        float(fields[_VIRTUAL]),
        float(fields[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE"),
        _boot_time() + int(fields[_STARTED]) / ticks,
        _open_files(header.pid),
        _file_limit(header.pid),
    )


class ProcessCollector:
    """The `process_*` metrics of all living processes together, as a prometheus_client collector.

    Memory, open files and their limit are sums; the start is that of the oldest process.
    """

    def __init__(self, look: Callable[[], tuple[list[Seen], float]]) -> None:
        """Make the collector.

        Args:
            look: Returns the living processes, and the processor seconds of all that ever were.
        """
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        seen, cpu_seconds = self._look()
        if not seen:
            return
        yield _gauge("process_virtual_memory_bytes", (one.virtual_bytes for one in seen))
        yield _gauge("process_resident_memory_bytes", (one.resident_bytes for one in seen))
        yield _gauge("process_start_time_seconds", [min(one.started_at for one in seen)])
        cpu = CATALOGUE["process_cpu_seconds_total"]
        yield CounterMetricFamily(cpu.name, cpu.help, cpu_seconds)
        yield _gauge("process_open_fds", (one.open_fds or 0 for one in seen))
        yield _gauge("process_max_fds", (one.max_fds or 0 for one in seen))


def _gauge(name: str, values: Iterable[float]) -> Metric:
    return GaugeMetricFamily(name, CATALOGUE[name].help, sum(values))


def _stat(pid: int) -> list[str] | None:
    with suppress(OSError):
        # The program's name stands in parentheses and may have any characters, spaces and parentheses too.
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return None


def _boot_time() -> float:
    with suppress(OSError):
        for line in (_PROC / "stat").read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    return time.time()


def _open_files(pid: int) -> int | None:
    with suppress(OSError):
        return sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())
    return None


def _file_limit(pid: int) -> int | None:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "limits").read_text().splitlines():
            if line.startswith("Max open files") and line.split()[3].isdigit():
                return int(line.split()[3])
    return None
