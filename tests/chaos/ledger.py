"""What really happened, noted by those who did it: a file to which all append, and which survives them."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from midas.saga import StepRun


class Ledger:
    """Appends lines: moment, what, of what, and by which process.

    A line is one ``write`` in append mode, which the kernel does not interleave and keeps when its writer dies.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, what: str, of: str, by: int | None = None) -> None:
        """Append one line."""
        os.write(self._file, f"{time.monotonic():.6f} {what} {of} {by or os.getpid()}\n".encode())

    def note_effect(self, run: StepRun) -> None:
        """Append that a step of a saga, or its compensation, did its work, and as which owner of the saga."""
        self.note("effect", f"{run.idempotency_key}@{run.epoch}")

    def lines(self) -> Iterator[tuple[float, str, str, int]]:
        """Read everything."""
        for line in self._path.read_text("utf-8").splitlines():
            moment, what, of, by = line.split(" ")
            yield float(moment), what, of, int(by)


@dataclass
class History:
    """The ledger, read once.

    It is the other side that the steps of sagas talk to, and does what such a side has to do: it takes nothing from
    an owner (by its epoch, the fencing token) once it has heard from a later one. A process that is stopped in a step
    and wakes long after its lease does the rest of that step before it can know; nothing in it can prevent that.

    Attributes:
        begun: task -> (moment, process) of every run that began.
        ended: task -> processes whose run of it reached its end.
        failed: (task, process) of runs that failed by themselves.
        effects: idempotency key -> moments of every time the effect happened.
        late: Effects of a saga's earlier owners, which came after one of a later owner and were not taken.
        killed: process -> moment.
    """

    begun: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    ended: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    failed: set[tuple[str, int]] = field(default_factory=set)
    effects: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    late: int = 0
    killed: dict[int, float] = field(default_factory=dict)

    @classmethod
    def read(cls, ledger: Ledger) -> History:
        """Sort the lines of a ledger."""
        history = cls()
        epochs: dict[str, int] = defaultdict(int)
        for moment, what, of, by in ledger.lines():
            if what == "begin":
                history.begun[of].append((moment, by))
            elif what == "end":
                history.ended[of].append(by)
            elif what == "fail":
                history.failed.add((of, by))
            elif what == "effect":
                key, _, epoch = of.partition("@")
                saga = key.partition(":")[0]
                if int(epoch) < epochs[saga]:
                    history.late += 1
                    continue
                epochs[saga] = int(epoch)
                history.effects[key].append(moment)
            elif what == "kill":
                history.killed[by] = moment
        return history

    def repeated_tasks(self) -> int:
        """Runs that reached their end though another run of the task had."""
        return sum(len(processes) - 1 for processes in self.ended.values())

    def repeated_effects(self) -> int:
        """Effects of saga steps that happened again under the same key."""
        return sum(len(moments) - 1 for moments in self.effects.values())

    def recovery_seconds(self) -> list[float]:
        """For each run that a kill cut off: seconds until the task's next run began."""
        waits = []
        for task, runs in self.begun.items():
            for (began, by), (again, _) in pairwise(runs):
                killed = self.killed.get(by)
                was_cut_off = by not in self.ended[task] and (task, by) not in self.failed
                if was_cut_off and killed is not None and began <= killed < again:
                    waits.append(again - killed)
        return sorted(waits)
