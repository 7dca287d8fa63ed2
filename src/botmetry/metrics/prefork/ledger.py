"""This process's own counts: where each series finds its cells, also after a fork, also when the disk is full.

A series asks for its cells when it is made, and in a forked child when it is first counted in: a child that never
counts costs nothing. Whoever asks while somebody else is being served (a signal handler, a finalizer, a thread that
has waited for long) is lent memory of this process, and what was counted there is moved afterwards.
"""

from __future__ import annotations

import atexit
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from threading import RLock, local
from typing import Final, Protocol, TypeVar, cast
from weakref import WeakSet

from botmetry.metrics.forks import at_end_of_multiprocessing, in_children, renew
from botmetry.metrics.prefork.alive import OwnFile
from botmetry.metrics.prefork.book import Book
from botmetry.metrics.prefork.definitions import Definition
from botmetry.metrics.prefork.folder import Folder
from botmetry.metrics.prefork.layout import HEADER_BYTES, Header, header_bytes
from botmetry.metrics.prefork.processes import namespace
from botmetry.metrics.prefork.reading import Labels

__all__ = ["UNBOUND", "Bound", "Ledger"]

UNBOUND: Final = cast("memoryview[float]", ())
"""The cells of a series that has none yet: to index it raises IndexError, which costs nothing until it happens."""

_PATIENCE_SECONDS: Final = 1.0
"""How long a thread waits for another one that is being served; longer, and it may be that the other waits for it."""

_T = TypeVar("_T")


class Bound(Protocol):
    """A series, as the ledger sees it.

    Attributes:
        cells: Where it counts.
        slots: Where the next exemplar of a bucket may be stored.
        key: Its label values.
    """

    cells: memoryview[float]
    slots: dict[int, memoryview]
    key: Labels


class Ledger:
    """The counts of this process.

    Attributes:
        own: The name of its file, once it has one.
    """

    def __init__(self, folder: Folder, failed: Callable[[BaseException], None]) -> None:
        """Open the file.

        Raises:
            OSError: The folder is gone, full or not writable.
        """
        self._folder = folder
        self._failed = failed
        self._when_open: Callable[[], None] | None = None
        self.own: list[str] = []
        self._begin()
        self._open()
        self._opened = False
        in_children(self._renew)
        _ledgers.add(self)

    def when_open(self, call: Callable[[], None]) -> None:
        """Call this in a forked child that has counted for the first time."""
        self._when_open = call

    def bind(self, series: Bound, definition: Definition) -> None:
        """Give a series its cells, unless it has some."""
        if os.getpid() != self._pid:
            self._forked_unseen()
        self._do(partial(self._place, series, definition))
        if series.cells is UNBOUND:
            private = _memory(definition)
            self._lent[id(series)] = (series, private)
            if series.cells is UNBOUND:  # nobody can have run between this line and the next
                series.cells = private

    def give_back(self, series: Iterable[Bound], definition: Definition) -> None:
        """Forget series. Whoever still has one of them counts where nobody looks."""
        self._do(partial(self._give_back, list(series), definition))

    def exemplar(self, series: Bound, definition: Definition, bucket: int, data: bytes) -> None:
        """Store the latest exemplar of a bucket, and make a slot for those that follow."""
        self._do(partial(self._exemplar, series, definition, bucket, data))

    def difference(self, gauge: Definition, started: str, finished: str) -> None:
        """Say that a gauge is the difference of two metrics."""
        self._do(lambda: self._write(lambda book: book.difference(gauge, started, finished)))

    def users(self, size: int) -> memoryview:
        """Return `size` bytes for marks of users."""
        found: list[memoryview] = []
        self._do(lambda: found.append(self._write(lambda book: book.users(size))))
        return found[0] if found else memoryview(bytearray(size))

    def copies(self) -> list[tuple[str, Header, bytes]]:
        """Return what this process has written: to its file, and where there was no room for it in the file."""
        books = [("".join(self.own), self._book), ("memory", self._spare)]
        return [(name, *book.copy()) for name, book in books if book is not None]

    def note_cpu(self) -> None:
        """Write down how much processor time this process has spent."""
        if self._book is not None and os.getpid() == self._pid:
            self._book.note_cpu(time.process_time())

    def _begin(self) -> None:
        """Be without a file and without a lock that somebody may hold: new, or in a forked child."""
        self._pid = os.getpid()
        # Reentrant, for a signal handler that counts while its own thread is being served.
        self._lock = RLock()
        self._serving = False
        self._waiting: deque[Callable[[], object]] = deque()
        self._errors: deque[BaseException] = deque()
        self.own.clear()
        self._opened = False
        self._file: OwnFile | None = None
        self._book: Book | None = None
        self._spare: Book | None = None
        self._bound: dict[int, Bound] = {}
        self._lent: dict[int, tuple[Bound, memoryview[float]]] = {}

    def _open(self) -> Book:
        if self._book is None:
            header = Header(HEADER_BYTES, pid=self._pid, namespace=namespace())
            file = self._folder.create(header_bytes(header), self._pid)
            try:
                self._book = Book(file, header)
            except BaseException:
                file.close()
                raise
            self._file = file
            self.own.append(file.name)
            self._opened = True
            at_end_of_multiprocessing(_note_cpu)
        return self._book

    def _do(self, action: Callable[[], object]) -> None:
        """Do something with the books, now or as soon as whoever is served has been served."""
        self._waiting.append(action)
        while self._waiting:
            if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
                return
            try:
                if self._serving:
                    return
                self._serve()
            finally:
                self._lock.release()
        if self._opened and self._when_open is not None:
            self._opened = False
            self._when_open()
        while self._errors:  # only now: the report of an error counts, too
            self._failed(self._errors.popleft())

    def _serve(self) -> None:
        self._serving = True
        try:
            while self._waiting:
                try:
                    self._waiting.popleft()()
                except Exception as error:  # noqa: BLE001 - one that fails must not take the others with it
                    self._errors.append(error)
        finally:
            self._serving = False

    def _write(self, action: Callable[[Book], _T]) -> _T:
        """Write into the file; when that has no room, into memory of this process, where only this process sees it."""
        if self._spare is None:
            try:
                return action(self._open())
            except OSError as error:
                self._errors.append(error)
                self._spare = Book(None, Header(HEADER_BYTES, pid=self._pid))
        return action(self._spare)

    def _place(self, series: Bound, definition: Definition) -> None:
        _, lent = self._lent.pop(id(series), (series, None))
        if series.cells is not UNBOUND and lent is None:
            return
        cells = self._write(lambda book: book.series(definition, series.key))
        series.cells = cells
        self._bound[id(series)] = series
        for index, number in enumerate(lent or ()):
            cells[index] += number

    def _exemplar(self, series: Bound, definition: Definition, bucket: int, data: bytes) -> None:
        for book in (self._book, self._spare):
            with suppress(OSError):  # without room there is no exemplar, and all counts are right
                slot = None if book is None else book.exemplar(definition, series.key, bucket, data)
                if slot is not None:
                    series.slots = {**series.slots, bucket: slot}

    def _give_back(self, series: list[Bound], definition: Definition) -> None:
        for one in series:
            one.cells = _memory(definition)
            one.slots = {}
            self._bound.pop(id(one), None)
            for book in (self._book, self._spare):
                if book is not None:
                    book.give_back(definition, one.key)

    def _forked_unseen(self) -> None:
        renew()
        self._failed(
            RuntimeError(
                "this process was forked without Python's knowledge, and what it counted until now may be wrong; "
                "in uWSGI, set py-call-osafterfork"
            )
        )

    def _renew(self) -> None:
        """Begin anew in a forked child; the counts so far are the parent's."""
        file, book = self._file, self._book
        bound = [*self._bound.values(), *(series for series, _ in self._lent.values())]
        if file is not None and not file.intact():
            # Its mappings have descriptors that were closed as well, and may be somebody else's now: to unmap them
            # would close those.
            _unmappable.append(book)
        self._begin()
        for series in bound:
            series.cells = UNBOUND
            series.slots = {}
        if file is not None:
            file.close()


def _memory(definition: Definition) -> memoryview[float]:
    return memoryview(bytearray(8 * definition.cells)).cast("d")


_ledgers: WeakSet[Ledger] = WeakSet()
_unmappable: list[Book | None] = []


class _Held(local):
    """The ledgers that a thread has the lock of because it forks."""

    def __init__(self) -> None:
        self.ledgers: list[Ledger] = []


_held: Final = _Held()


def _before_fork() -> None:
    """Let nobody be in the middle of opening a file: the child would keep it open without knowing of it."""
    for ledger in list(_ledgers):
        if ledger._lock.acquire(timeout=_PATIENCE_SECONDS):  # noqa: SLF001 - forks are this module's business
            _held.ledgers.append(ledger)


def _after_fork_in_parent() -> None:
    while _held.ledgers:
        _held.ledgers.pop()._lock.release()  # noqa: SLF001


def _after_fork_in_child() -> None:
    _held.ledgers.clear()  # they have new locks


def _note_cpu() -> None:
    for ledger in list(_ledgers):
        ledger.note_cpu()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
atexit.register(_note_cpu)
