"""Writes records: a place for each series, each exemplar, each chunk of users.

The order of the steps is what makes a kill harmless at any point: first the record, then the header's word that it is
there. A record that gets another meaning is not valid while it is being changed.
"""

from __future__ import annotations

import sys
from typing import Final, NamedTuple

import orjson

from botmetry.metrics.prefork.alive import OwnFile
from botmetry.metrics.prefork.definitions import Definition, describe
from botmetry.metrics.prefork.layout import (
    CPU_AT,
    EDITS_AT,
    RECORD_BYTES,
    SERIAL_AT,
    USED_AT,
    Header,
    Kind,
    header_bytes,
    read_header,
    record_bytes,
)
from botmetry.metrics.prefork.reading import Labels
from botmetry.metrics.prefork.segments import Segments

__all__ = ["Book"]

_USED: Final = USED_AT // 8
_EDITS: Final = EDITS_AT // 8
_SERIAL: Final = slice(SERIAL_AT, SERIAL_AT + 8)


class _Slot(NamedTuple):
    offset: int
    cells: memoryview


class Book:
    """The records of this process, in its file or, with no file, in its own memory.

    Not safe under threads: the ledger has the lock.
    """

    def __init__(self, file: OwnFile | None, header: Header) -> None:
        self._segments = Segments(file)
        head = self._segments.append(header_bytes(header)).memory
        self._words = head.cast("Q")
        self._cpu = head[CPU_AT : CPU_AT + 8].cast("d")
        self._words[_USED] = self._segments.used
        self._numbers: dict[Definition, int] = {}
        self._series: dict[tuple[Definition, Labels], _Slot] = {}
        self._exemplars: dict[int, dict[int, _Slot]] = {}
        self._free: dict[int, list[int]] = {}
        self._serial = 1

    def series(self, definition: Definition, labels: Labels) -> memoryview[float]:
        """Return the cells of a series, all 0 when it is new.

        Raises:
            OSError: There is no room for them.
        """
        slot = self._series.get((definition, labels))
        if slot is None:
            body = orjson.dumps([self._number(definition), labels])
            slot = self._store(Kind.SERIES, body, bytes(definition.cells * 8))
            self._series[definition, labels] = slot
        return slot.cells.cast("d")

    def give_back(self, definition: Definition, labels: Labels) -> None:
        """Forget a series; its place may be given to another one."""
        slot = self._series.pop((definition, labels), None)
        if slot is not None:
            self._free_slots([slot, *self._exemplars.pop(slot.offset, {}).values()])

    def exemplar(self, definition: Definition, labels: Labels, bucket: int, data: bytes) -> memoryview | None:
        """Store the latest exemplar of a bucket, and return where the next one may be stored if it is no longer.

        A series that is not in this book gets None.

        Raises:
            OSError: There is no room for it.
        """
        series = self._series.get((definition, labels))
        if series is None:
            return None
        slots = self._exemplars.setdefault(series.offset, {})
        if bucket in slots:
            self._free_slots([slots.pop(bucket)])
        room = data.ljust(-(-len(data) // 64) * 64, b"\0")  # the next one may be a little longer
        slots[bucket] = self._store(Kind.EXEMPLAR, orjson.dumps([series.offset, bucket]), room)
        return slots[bucket].cells

    def difference(self, gauge: Definition, started: str, finished: str) -> None:
        """Say that a gauge is the difference of two metrics.

        Raises:
            OSError: There is no room for it.
        """
        self._store(Kind.DIFFERENCE, orjson.dumps([self._number(gauge), started, finished]), b"")

    def users(self, size: int) -> memoryview:
        """Return `size` bytes for marks of users.

        Raises:
            OSError: There is no room for them.
        """
        return self._store(Kind.USERS, b"", bytes(size)).cells

    def note_cpu(self, seconds: float) -> None:
        """Write down the processor time of this process."""
        self._cpu[0] = seconds

    def copy(self) -> tuple[Header, bytes]:
        """Return what is written, as another process would read it."""
        data = self._segments.copy()
        header = read_header(data)
        return header, data[: header.used]

    def _number(self, definition: Definition) -> int:
        number = self._numbers.get(definition)
        if number is None:
            number = self._numbers[definition] = self._store(Kind.METRIC, describe(definition), b"").offset
        return number

    def _store(self, kind: Kind, body: bytes, cells: bytes) -> _Slot:
        record = record_bytes(kind, body, cells)
        free = self._free.get(len(record))
        if free:
            offset = free.pop()
            memory = self._segments.at(offset, len(record))
            self._words[_EDITS] += 1
            memory[:SERIAL_AT] = record[:SERIAL_AT]
            memory[RECORD_BYTES:] = record[RECORD_BYTES:]
            self._serial += 1
            memory[_SERIAL].cast("Q")[0] = self._serial
            self._words[_EDITS] += 1
        else:
            offset, memory = self._segments.append(record)
            self._words[_USED] = self._segments.used
        return _Slot(offset, memory[len(record) - len(cells) :])

    def _free_slots(self, slots: list[_Slot]) -> None:
        self._words[_EDITS] += 1
        for slot in slots:
            head = self._segments.at(slot.offset, RECORD_BYTES)
            head[_SERIAL].cast("Q")[0] = 0
            self._free.setdefault(int.from_bytes(head[:4], sys.byteorder), []).append(slot.offset)
        self._words[_EDITS] += 1
