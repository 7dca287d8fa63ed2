"""Reads what all processes have counted.

Reading takes no lock. If the archive was replaced meanwhile, something may have been read twice or not at all, and
it is read again; so a process that is stopped in the middle of merging holds up nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from botmetry.metrics.prefork.alive import has_ended
from botmetry.metrics.prefork.archive import checked
from botmetry.metrics.prefork.definitions import Definitions
from botmetry.metrics.prefork.folder import ARCHIVE, Folder
from botmetry.metrics.prefork.layout import HEADER_BYTES, read_header
from botmetry.metrics.prefork.ledger import Ledger
from botmetry.metrics.prefork.marks import Marks, marks_of
from botmetry.metrics.prefork.reading import Part, Reader
from botmetry.metrics.prefork.totals import Forgotten, Totals

__all__ = ["Survey", "Surveyor"]

_TRIES: Final = 10
"""Readings before one is believed although the archive keeps being replaced."""

_COMPLAINTS: Final = 256
"""Files about which it is said once that they cannot be read; there are fewer, and the memory is bounded."""


class Survey:
    """What all processes have counted, at one moment.

    Attributes:
        archive: The archive, or None while there is none.
        archive_unreadable: Whether there is one that cannot be read.
        living: The files of processes that live.
        ended: The files of processes that ended and are not merged yet.
        damaged: Files of ended processes that cannot be read.
        left: Files that are merged already and still lie there.
        names: The names of all files.
    """

    def __init__(self) -> None:
        self.archive: Part | None = None
        self.archive_unreadable = False
        self.living: list[Part] = []
        self.ended: list[Part] = []
        self.damaged: list[str] = []
        self.left: list[str] = []
        self.names: list[str] = []

    @property
    def forgotten(self) -> Forgotten:
        """The cells of records at the time they were removed."""
        return {} if self.archive is None else self.archive.forgotten

    def totals(self) -> Totals:
        """Add up the series."""
        totals = Totals()
        for part in self.past():
            totals.add(part, living=False, forgotten=self.forgotten)
        for part in self.living:
            totals.add(part, living=True, forgotten=self.forgotten)
        return totals

    def past(self) -> list[Part]:
        """Return the archive and the files that will be part of it."""
        return self.ended if self.archive is None else [self.archive, *self.ended]

    def marks(self) -> Iterator[Marks]:
        """Yield the marks of users, a set a file."""
        return map(marks_of, (*self.past(), *self.living))


class Surveyor:
    """Reads one folder again and again, and remembers what does not change.

    Attributes:
        complaints: What could not be read since they were last taken away; about a file it is said once.
    """

    def __init__(self, folder: Folder, ledger: Ledger, definitions: Definitions) -> None:
        self._folder = folder
        self._ledger = ledger
        self._definitions = definitions
        self._readers: dict[str, Reader] = {}
        self._archive: tuple[tuple[int, int], Part] | None = None
        self._complained: set[tuple[str, str]] = set()
        self.complaints: list[BaseException] = []

    def read(self) -> Survey:
        """Return what all processes have counted; what cannot be read is left out."""
        for _ in range(_TRIES):
            before = self._archive_identity()
            survey = self.read_once()
            if self._archive_identity() == before:
                break
        return survey

    def read_once(self) -> Survey:
        """Return what all processes have counted, while nobody can replace the archive."""
        survey = Survey()
        self._read_archive(survey)
        survey.names = self.names()
        merged = () if survey.archive is None else survey.archive.merged
        for name in survey.names:
            if name in merged:
                survey.left.append(name)
            else:
                self._read_file(survey, name)
        self._add_own(survey)
        return survey

    def names(self) -> list[str]:
        """Return the names of the files of processes."""
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

    def _read_file(self, survey: Survey, name: str) -> None:
        ended = False
        try:
            with self._folder.open(name) as descriptor:
                ended = has_ended(descriptor)
                reader = self._readers.setdefault(name, Reader(name, self._definitions))
                try:
                    part = reader.read(descriptor)
                except ValueError:
                    # Its writer may have been in the middle of a word, on a machine that reorders stores.
                    part = reader.read(descriptor)
        except FileNotFoundError:
            return  # merged and removed since the folder was listed
        except (OSError, ValueError) as error:
            self._complain(name, error)
            if ended:
                survey.damaged.append(name)
            return
        (survey.ended if ended else survey.living).append(part)

    def _add_own(self, survey: Survey) -> None:
        """Add what this process has in memory alone, because its file is gone or full."""
        there = {part.name for part in survey.living}
        for name, header, data in self._ledger.copies():
            if name not in there:
                with suppress(ValueError):
                    survey.living.append(Reader(name, self._definitions).understand(header, data))

    def _archive_identity(self) -> tuple[int, int] | None:
        with suppress(OSError, ValueError), self._folder.open(ARCHIVE) as descriptor:
            return os.fstat(descriptor).st_ino, read_header(os.pread(descriptor, HEADER_BYTES, 0)).generation
        return None

    def _read_archive(self, survey: Survey) -> None:
        try:
            with self._folder.open(ARCHIVE) as descriptor:
                header = read_header(os.pread(descriptor, HEADER_BYTES, 0))
                identity = (os.fstat(descriptor).st_ino, header.generation)
                if self._archive is None or self._archive[0] != identity:
                    data = checked(os.pread(descriptor, header.used, 0), header)
                    part = Reader(ARCHIVE, self._definitions).understand(header, data)
                    self._archive = (identity, part)
                survey.archive = self._archive[1]
        except FileNotFoundError:
            self._archive = None
        except (OSError, ValueError) as error:
            self._archive = None
            survey.archive_unreadable = True
            self._complain(ARCHIVE, error)

    def _complain(self, name: str, error: BaseException) -> None:
        complaint = (name, str(error))
        if complaint not in self._complained and len(self._complained) < _COMPLAINTS:
            self._complained.add(complaint)
            self.complaints.append(error)
