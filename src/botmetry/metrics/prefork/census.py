"""Reads what all processes have counted, and takes the files of those that ended into the archive.

Reading takes no lock. If the archive was replaced meanwhile, something may have been read twice or not at all, and
it is read again; so a process that is stopped in the middle of merging holds up nobody.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import RLock
from typing import Final

from botmetry.metrics.forks import in_children
from botmetry.metrics.prefork.archive import Contents, archive_bytes, checked
from botmetry.metrics.prefork.definitions import Definition, Definitions
from botmetry.metrics.prefork.folder import ARCHIVE, Folder, has_ended
from botmetry.metrics.prefork.layout import HEADER_BYTES, read_header
from botmetry.metrics.prefork.ledger import Ledger
from botmetry.metrics.prefork.marks import Marks, marks_of, united
from botmetry.metrics.prefork.reading import Labels, Part, Reader
from botmetry.metrics.prefork.totals import Cells, Forgotten, Totals

__all__ = ["DAY_SECONDS", "Census", "Survey"]

DAY_SECONDS: Final = 86_400.0
"""The longest window in which users are counted."""

_USERS: Final = 16_384
"""Marks that the archive keeps: as many as a process does, for the same precision."""

_TRIES: Final = 10
"""Readings before one is believed although the archive keeps being replaced."""

_MANY_FILES: Final = 64
"""Files of ended processes that may lie about while nobody scrapes: to read them takes some 10 ms."""

_ENDED_FILES: Final = 16
"""Files of ended processes after which a scrape merges, however small they are beside the archive."""

_WAIT_SECONDS: Final = 0.5
"""How long removing a series waits for who is merging: a merge of 18,000 series takes a tenth of that."""

_COMPLAINTS: Final = 256
"""Files about which it is said once that they cannot be read; there are fewer, and the memory is bounded."""


@dataclass
class Survey:
    """What all processes have counted, at one moment.

    Attributes:
        totals: The series.
        archive: The archive, or None while there is none.
        ended: The files of processes that ended and are not merged yet.
        damaged: Files of ended processes that cannot be read.
        left: Files that are merged already and still lie there.
        files: The names of all files.
    """

    totals: Totals = field(default_factory=Totals)
    archive: Part | None = None
    ended: list[Part] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def marks(self, *, living: bool = True) -> Iterator[Marks]:
        """Yield the marks of users, a set a file."""
        parts = [*self.ended, *(self.totals.living if living else ())]
        yield from map(marks_of, parts if self.archive is None else [self.archive, *parts])

    def ended_cpu_seconds(self) -> float:
        """Return the processor time of processes that ended."""
        before = 0.0 if self.archive is None else self.archive.header.cpu_seconds
        return before + sum(part.header.cpu_seconds for part in self.ended)


class Census:
    """Reads a folder again and again."""

    def __init__(self, folder: Folder, ledger: Ledger, failed: Callable[[BaseException], None]) -> None:
        self._folder = folder
        self._ledger = ledger
        self._failed = failed
        self._definitions = Definitions()
        self._begin()
        in_children(self._begin)

    def _begin(self) -> None:
        """Know nothing yet: new, or in a forked child, where another thread's work will never be finished."""
        self._lock = RLock()
        self._readers: dict[str, Reader] = {}
        self._archive: tuple[tuple[int, int], Part] | None = None
        self._complained: set[tuple[str, str]] = set()
        self._complaints: list[BaseException] = []

    def definition(self, body: bytes) -> Definition:
        """Return the definition that the files of all processes have in common."""
        return self._definitions.of(body)

    def take(self) -> Survey:
        """Return what all processes have counted; what cannot be read is left out and reported."""
        with self._reading():
            survey = self._read()
            if survey.left or self._is_worth_merging(survey):
                self._try(self._merge)
        return survey

    def merge_many(self) -> None:
        """Merge if nobody has done so for long; each process asks for it once, when it begins to count."""
        with self._reading(), suppress(OSError):
            files = self._folder.listing().live
            archive = self._read_archive()
            living = 0 if archive is None else archive.header.living
            if len(files) > _MANY_FILES + 2 * living:
                self._merge()

    def forget(self, name: str, labels: Labels | None) -> None:
        """Remove a series of a metric, or all of them, from what the other processes and the archive have.

        A process that goes on counting in such a series makes it appear again, from 0.
        """
        with self._reading():
            self._try(lambda: self._forget(name, labels))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            yield
            complaints, self._complaints = self._complaints, []
        for complaint in complaints:
            self._failed(complaint)

    def _read(self) -> Survey:
        for _ in range(_TRIES):
            before = self._archive_identity()
            survey = self._read_once()
            if self._archive_identity() == before:
                break
        return survey

    def _read_once(self) -> Survey:
        survey = Survey(archive=self._read_archive())
        merged: frozenset[str] = frozenset()
        forgotten: Forgotten = {}
        if survey.archive is not None:
            merged, forgotten = survey.archive.merged, survey.archive.forgotten
            survey.totals.add(survey.archive, living=False, forgotten={})
        survey.files = self._files()
        for name in survey.files:
            if name in merged:
                survey.left.append(name)
                continue
            part, ended = self._read_file(name)
            if part is not None:
                survey.totals.add(part, living=not ended, forgotten=forgotten)
            if ended:
                survey.ended += [] if part is None else [part]
                survey.damaged += [name] if part is None else []
        self._add_own(survey)
        return survey

    def _files(self) -> list[str]:
        try:
            listing = self._folder.listing()
        except OSError as error:
            self._complain("", error)
            return []
        for name in listing.foreign:
            self._complain(name, ValueError(f"{name} in {self._folder.path} is none of botmetry's files"))
        for name in self._readers.keys() - set(listing.live):
            del self._readers[name]
        return listing.live

    def _read_file(self, name: str) -> tuple[Part | None, bool]:
        """Return what a file says, or None when it cannot be read, and whether its process has ended."""
        ended = False
        try:
            with self._folder.open(name) as descriptor:
                ended = has_ended(descriptor)
                reader = self._readers.setdefault(name, Reader(name, self._definitions))
                try:
                    return reader.read(descriptor), ended
                except ValueError:
                    # Its writer may have been in the middle of a word, on a machine that reorders stores.
                    return reader.read(descriptor), ended
        except FileNotFoundError:
            return None, False  # merged and removed since the folder was listed
        except (OSError, ValueError) as error:
            self._complain(name, error)
            return None, ended

    def _add_own(self, survey: Survey) -> None:
        """Add what this process has in memory alone, because its file is gone or full."""
        there = {part.name for part in survey.totals.living}
        for name, header, data in self._ledger.copies():
            if name not in there:
                with suppress(ValueError):
                    part = Reader(name, self._definitions).understand(header, data)
                    survey.totals.add(part, living=True, forgotten={})

    def _archive_identity(self) -> tuple[int, int] | None:
        with suppress(OSError, ValueError), self._folder.open(ARCHIVE) as descriptor:
            return os.fstat(descriptor).st_ino, read_header(os.pread(descriptor, HEADER_BYTES, 0)).generation
        return None

    def _read_archive(self) -> Part | None:
        try:
            with self._folder.open(ARCHIVE) as descriptor:
                header = read_header(os.pread(descriptor, HEADER_BYTES, 0))
                identity = (os.fstat(descriptor).st_ino, header.generation)
                if self._archive is None or self._archive[0] != identity:
                    data = checked(os.pread(descriptor, header.used, 0), header)
                    self._archive = (identity, Reader(ARCHIVE, self._definitions).understand(header, data))
                return self._archive[1]
        except FileNotFoundError:
            self._archive = None
        except (OSError, ValueError) as error:
            self._archive = None
            self._complain(ARCHIVE, error)
        return None

    def _is_worth_merging(self, survey: Survey) -> bool:
        """Whether merging costs less than it saves: it writes the whole archive anew."""
        size = sum(part.header.used for part in survey.ended)
        whole = 0 if survey.archive is None else survey.archive.header.used
        return len(survey.ended) + len(survey.damaged) >= _ENDED_FILES or size * 4 > whole

    def _merge(self) -> None:
        with self._folder.merging() as alone:
            if not alone:
                return
            survey = self._read_once()
            if survey.ended or survey.damaged:
                self._write(survey, ended=True, without=lambda _name, _labels: False, forgotten={})
            for name in survey.damaged:
                self._folder.set_aside(name)
            self._folder.remove([*survey.left, *(part.name for part in survey.ended)])

    def _forget(self, name: str, labels: Labels | None) -> None:
        def gone(metric: str, of: Labels) -> bool:
            return metric == name and labels in (None, of)

        with self._folder.merging(_WAIT_SECONDS) as alone:
            if not alone:
                raise TimeoutError(f"{name} was not removed everywhere: another process merges for too long")
            survey = self._read_once()
            forgotten: dict[tuple[str, int, int], Cells] = {
                (part.name, *row.place): list(part.cells[row.start : row.stop])
                for part in (*survey.totals.living, *survey.ended)
                for definition, rows in part.rows.items()
                for row in rows
                if gone(definition.spec.name, row.labels)
            }
            archived = () if survey.archive is None else survey.archive.rows.items()
            if forgotten or any(gone(one.spec.name, row.labels) for one, rows in archived for row in rows):
                self._write(survey, ended=False, without=gone, forgotten=forgotten)

    def _write(
        self,
        survey: Survey,
        *,
        ended: bool,
        without: Callable[[str, Labels], bool],
        forgotten: Forgotten,
    ) -> None:
        """Write the archive anew.

        Args:
            survey: What was read while nobody else could write.
            ended: Whether it takes in the files of processes that ended.
            without: Says of a metric's name and label values whether to leave the series out.
            forgotten: Further cells of living files that no longer count.
        """
        before = survey.archive
        taken = survey.ended if ended else []
        totals = Totals()
        known: Forgotten = {} if before is None else before.forgotten
        if before is not None:
            totals.add(before, living=False, forgotten={})
        for part in taken:
            totals.add(part, living=False, forgotten=known)
        for definition, rows in totals.rows.items():
            for labels in [labels for labels in rows if without(definition.spec.name, labels)]:
                del rows[labels]
        names = [part.name for part in taken]
        stay = set(survey.files).difference(names)
        contents = Contents(
            totals,
            united(
                (marks_of(part) for part in (before, *taken) if part is not None),
                since=time.time() - DAY_SECONDS,
                capacity=_USERS,
            ),
            [*survey.left, *names],
            {place: cells for place, cells in {**known, **forgotten}.items() if place[0] in stay},
            1 if before is None else before.header.generation + 1,
            len(survey.totals.living),
            sum(part.header.cpu_seconds for part in (before, *taken) if part is not None),
        )
        self._folder.write(ARCHIVE, archive_bytes(contents))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (
            OSError
        ) as error:  # the disk is full, the folder is gone or read-only: what is there stays readable
            self._complaints.append(error)

    def _complain(self, name: str, error: BaseException) -> None:
        complaint = (name, str(error))
        if complaint not in self._complained and len(self._complained) < _COMPLAINTS:
            self._complained.add(complaint)
            self._complaints.append(error)
