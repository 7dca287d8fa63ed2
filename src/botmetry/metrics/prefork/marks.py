"""Which users were seen when, shared by several processes so that each user is counted once.

A user is a mark, a hash of 64 bits made with the folder's key. A process keeps those marks alone whose last `halvings`
bits are zero (see `botmetry.telemetry.active_users`); marks of several processes are thinned to the fewest.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from botmetry.metrics.forks import in_children
from botmetry.metrics.prefork.ledger import Ledger
from botmetry.metrics.prefork.reading import Part

__all__ = ["Marks", "Users", "marks_bytes", "marks_of", "united"]

_CHUNK: Final = 128
"""Marks that room is made for at once: 2 KiB, for a worker with a hundred users."""


class Marks(NamedTuple):
    """Who was seen.

    Attributes:
        halvings: How often the share of users that are kept was halved.
        seen: When each mark was seen last, as Unix time in seconds.
    """

    halvings: int
    seen: Mapping[int, float]


def united(all_marks: Iterable[Marks], *, since: float, capacity: int) -> Marks:
    """Return who was seen by any process after `since`, thinned until there are no more than `capacity`."""
    halvings, seen = 0, dict[int, float]()
    for marks in all_marks:
        halvings = max(halvings, marks.halvings)
        for mark, at in marks.seen.items():
            if at > since and seen.get(mark, 0.0) < at:
                seen[mark] = at
    while True:
        mask = (1 << halvings) - 1
        seen = {mark: at for mark, at in seen.items() if not mark & mask}
        if len(seen) <= capacity:
            return Marks(halvings, seen)
        halvings += 1


def marks_bytes(marks: Marks) -> bytes:
    """Return marks as the cells of one record."""
    pairs = b"".join(struct.pack("=Qd", mark, at) for mark, at in marks.seen.items())
    return struct.pack("=Q", marks.halvings) + pairs


def marks_of(part: Part) -> Marks:
    """Return the marks that a file has."""
    words = memoryview(part.data).cast("Q")
    halvings, seen = 0, dict[int, float]()
    for start, stop in part.users:
        halvings = max(halvings, words[start])
        marks, times = words[start + 1 : stop : 2].tolist(), part.cells[start + 2 : stop : 2].tolist()
        seen.update(zip(marks, times, strict=True))
    seen.pop(0, None)  # a place that nobody has
    return Marks(halvings, seen)


class Users:
    """The users that several processes have seen.

    Noting is not safe under threads: whoever hashes the ids has a lock for it.

    Attributes:
        key: What ids are hashed with, in all of these processes.
    """

    def __init__(self, key: bytes, ledger: Ledger, everybody: Callable[[], Marks]) -> None:
        self.key = key
        self.everybody = everybody
        """Returns the marks of all processes, as they were at the last scrape here."""
        self._ledger = ledger
        self._begin()
        in_children(self._begin)

    def note(self, mark: int, at: float) -> None:
        """Store when a mark was seen."""
        place = self._places.get(mark)
        if place is None:
            place = self._places[mark] = self._free.pop() if self._free else self._grow()
        words, times = self._chunks[place // _CHUNK]
        index = 1 + place % _CHUNK * 2
        times[index + 1] = at  # before the mark, which says that the time is right
        words[index] = mark

    def keep(self, marks: Mapping[int, float], halvings: int) -> None:
        """Give back the places of all other marks."""
        self._halvings = halvings
        for words, _ in self._chunks:
            words[0] = halvings
        for mark in self._places.keys() - marks.keys():
            place = self._places.pop(mark)
            self._chunks[place // _CHUNK][0][1 + place % _CHUNK * 2] = 0
            self._free.append(place)

    def _begin(self) -> None:
        """Be without marks, and without a file that has them: new, or in a forked child."""
        self._places: dict[int, int] = {}
        self._free: list[int] = []
        self._chunks: list[tuple[memoryview, memoryview[float]]] = []
        self._halvings = 0

    def _grow(self) -> int:
        memory = self._ledger.users(8 + 16 * _CHUNK)
        words = memory.cast("Q")
        words[0] = self._halvings
        first = len(self._chunks) * _CHUNK
        self._chunks.append((words, memory.cast("d")))
        self._free.extend(range(first + _CHUNK - 1, first, -1))
        return first
