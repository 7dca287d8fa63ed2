"""Memory and processor time of the whole demo, as the kernel accounts them."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Meter", "Usage"]

_KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """What all processes together take.

    Attributes:
        memory_bytes: Sum of the proportional set sizes: a page shared by n processes counts one n-th in each, so the
            sum is what the machine would have back.
        cores: Processor time per second since the last reading; 1.0 is one core fully busy.
        mean_cores: The same since the meter was made.
        peak_memory_bytes: The highest reading so far.
    """

    memory_bytes: int
    cores: float
    mean_cores: float
    peak_memory_bytes: int


class Meter:
    """Reads this process and everything below it.

    Processor time of children that have ended meanwhile is kept, as far as it had been read before they ended.
    """

    def __init__(self) -> None:
        self._root = psutil.Process()
        self._seconds: dict[tuple[int, float], float] = {}
        self._peak = 0
        self._count_processes()
        self._first = self._last = (time.monotonic(), self._total())

    def restart(self) -> None:
        """Begin the means anew, for instance once everything has started."""
        self._count_processes()
        self._first = self._last = (time.monotonic(), self._total())

    def read(self) -> Usage:
        """Read all processes now; takes about a millisecond a process."""
        memory = self._count_processes()
        now = (time.monotonic(), self._total())
        self._peak = max(self._peak, memory)
        usage = Usage(memory, _rate(self._last, now), _rate(self._first, now), self._peak)
        self._last = now
        return usage

    def _total(self) -> float:
        return sum(self._seconds.values())

    def _count_processes(self) -> int:
        """Note every process's time and return the sum of their memory in bytes."""
        memory = 0
        for process in (self._root, *self._root.children(recursive=True)):
            with contextlib.suppress(psutil.Error, OSError):  # it ended while we looked
                times = process.cpu_times()
                self._seconds[process.pid, process.create_time()] = times.user + times.system
                memory += _proportional_bytes(process)
        return memory


def _rate(earlier: tuple[float, float], later: tuple[float, float]) -> float:
    elapsed = later[0] - earlier[0]
    return (later[1] - earlier[1]) / elapsed if elapsed > 0 else 0.0


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # another account's process (PostgreSQL under sudo), or no Linux: count it whole
        return int(process.memory_info().rss)
    return next((int(line.split()[1]) * _KIBIBYTE for line in lines if line.startswith("Pss:")), 0)
