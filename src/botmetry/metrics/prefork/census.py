"""Keeps the folder as small as what lives: files of ended processes go into the archive, removed series out of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Final

from botmetry.metrics.forks import in_children
from botmetry.metrics.prefork.archive import Contents, archive_bytes
from botmetry.metrics.prefork.definitions import Definition, Definitions
from botmetry.metrics.prefork.folder import ARCHIVE, Folder
from botmetry.metrics.prefork.ledger import Ledger
from botmetry.metrics.prefork.marks import marks_of, united
from botmetry.metrics.prefork.reading import Labels, Part, Row
from botmetry.metrics.prefork.survey import Survey, Surveyor
from botmetry.metrics.prefork.totals import Cells, Totals

__all__ = ["DAY_SECONDS", "Census"]

DAY_SECONDS: Final = 86_400.0
"""The longest window in which users are counted."""

_USERS: Final = 16_384
"""Marks that the archive keeps: as many as a process does, for the same precision."""

_MANY_FILES: Final = 64
"""Files from which on processes look for some that ended, in case that nobody scrapes; every sixteenth process does."""

_ENDED_FILES: Final = 16
"""Files of ended processes after which a scrape merges, however small they are beside the archive."""

_WAIT_SECONDS: Final = 0.5
"""How long removing a series waits for who is merging: a merge of 18,000 series takes a tenth of that."""


class Census:
    """What all processes have counted, and the care for the folder it lies in."""

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
        self._surveyor = Surveyor(self._folder, self._ledger, self._definitions)

    def definition(self, body: bytes) -> Definition:
        """Return the definition that the files of all processes have in common."""
        return self._definitions.of(body)

    def take(self) -> Survey:
        """Return what all processes have counted; what cannot be read is left out and reported."""
        with self._reading():
            survey = self._surveyor.read()
            if survey.left or _is_worth_merging(survey):
                self._merge()
        return survey

    def merge_many(self) -> None:
        """Merge if nobody has done so for long; each process asks for it once, when it begins to count."""
        with self._reading():
            names = self._surveyor.names()
            if len(names) >= _MANY_FILES and not len(names) % _ENDED_FILES:
                ended = sum(map(self._folder.has_ended, names))
                if ended >= _ENDED_FILES:
                    self._merge()

    def forget(self, name: str, labels: Labels | None) -> None:
        """Remove a series of a metric, or all of them, from what the other processes and the archive have.

        A process that goes on counting in such a series makes it appear again, from 0.
        """
        with self._reading():
            self._forget(name, labels)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (
                OSError
            ) as error:  # the disk is full, the folder gone or read-only: what is there stays readable
                self._surveyor.complaints.append(error)
            complaints, self._surveyor.complaints = self._surveyor.complaints, []
        for complaint in complaints:
            self._failed(complaint)

    def _merge(self) -> None:
        with self._folder.merging() as alone:
            if not alone:
                return
            survey = self._surveyor.read_once()
            if survey.ended:
                self._write(survey, survey.past(), {})
            for name in survey.damaged:
                self._folder.set_aside(name)
            self._folder.remove([*survey.left, *(part.name for part in survey.ended)])

    def _forget(self, name: str, labels: Labels | None) -> None:
        with self._folder.merging(_WAIT_SECONDS) as alone:
            if not alone:
                raise TimeoutError(f"{name} was not removed everywhere: another process merges for too long")
            survey = self._surveyor.read_once()
            cells: dict[tuple[str, int, int], Cells] = {
                (part.name, *row.place): list(part.cells[row.start : row.stop])
                for part in (*survey.living, *survey.ended)
                for row in _rows(part, name, labels)
            }
            news = {place: now for place, now in cells.items() if survey.forgotten.get(place) != now}
            archived = survey.archive is not None and any(_rows(survey.archive, name, labels))
            if news or archived:
                past = [] if survey.archive is None else [survey.archive]
                self._write(survey, past, news, without=(name, labels))

    def _write(
        self,
        survey: Survey,
        taken: list[Part],
        forgotten: dict[tuple[str, int, int], Cells],
        without: tuple[str, Labels | None] | None = None,
    ) -> None:
        """Write the archive anew, while nobody else can.

        Args:
            survey: What was read.
            taken: The files that it is made of, the archive so far among them.
            forgotten: Further cells of files that are not taken in, and no longer count.
            without: The metric, and the label values or None for all, that it has no longer.
        """
        totals = Totals()
        for part in taken:
            totals.add(part, living=False, forgotten=survey.forgotten)
        for definition, rows in totals.rows.items():
            if without is not None and definition.spec.name == without[0]:
                for labels in [labels for labels in rows if without[1] in (None, labels)]:
                    del rows[labels]
        names = [part.name for part in taken if part is not survey.archive]
        stay = set(survey.names).difference(names)
        contents = Contents(
            totals,
            united(map(marks_of, taken), since=time.time() - DAY_SECONDS, capacity=_USERS),
            [*survey.left, *names],
            {place: cells for place, cells in {**survey.forgotten, **forgotten}.items() if place[0] in stay},
            1 if survey.archive is None else survey.archive.header.generation + 1,
            sum(part.header.cpu_seconds for part in taken),
        )
        if survey.archive_unreadable:
            self._folder.set_aside(ARCHIVE)
        self._folder.write(ARCHIVE, archive_bytes(contents))


def _is_worth_merging(survey: Survey) -> bool:
    """Whether merging costs less than it saves: it writes the whole archive anew."""
    size = sum(part.header.used for part in survey.ended)
    whole = 0 if survey.archive is None else survey.archive.header.used
    return bool(survey.damaged) or len(survey.ended) >= _ENDED_FILES or size * 4 > whole


def _rows(part: Part, name: str, labels: Labels | None) -> Iterator[Row]:
    for definition, rows in part.rows.items():
        if definition.spec.name == name:
            yield from (row for row in rows if labels in (None, row.labels))
