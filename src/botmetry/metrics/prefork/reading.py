"""Reads a file that its writer may be writing this moment.

The descriptions are parsed once and remembered; a later reading of the same file parses only what was added, and takes
the numbers. Files are read, not mapped: one that is cut short then is an error here, and not the end of the program.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias, cast

import orjson

from botmetry.metrics.prefork.definitions import Definition, Definitions
from botmetry.metrics.prefork.layout import (
    HEADER_BYTES,
    Header,
    Kind,
    Record,
    exemplar_from,
    read_header,
    records,
)
from botmetry.metrics.series import Exemplar

__all__ = ["Difference", "Labels", "Part", "Reader", "Row"]

Labels: TypeAlias = tuple[str, ...]

_TRIES: Final = 20
"""Readings of a file whose writer keeps giving records another meaning; then what could be read has to do."""


class Row(NamedTuple):
    """Where a series lies.

    Attributes:
        labels: Its label values.
        place: Offset and serial of its record.
        start: Of its cells, counted in cells from the beginning of the file.
        stop: Behind its cells.
    """

    labels: Labels
    place: tuple[int, int]
    start: int
    stop: int


class Difference(NamedTuple):
    """A gauge that is, label values by label values, a counter minus the count of a histogram.

    Attributes:
        gauge: What is shown.
        started: The counter's name.
        finished: The histogram's name.
    """

    gauge: Definition
    started: str
    finished: str


class Part(NamedTuple):
    """What one file says, at one moment.

    Attributes:
        name: The file's.
        header: Its header.
        data: Its bytes.
        cells: The same bytes as cells.
        rows: Where the series are, by metric.
        differences: Gauges that are a difference.
        labels: Metric and label values of the series whose record is at an offset.
        exemplars: Where exemplars are: offset of the series, bucket, first and last position in `data`.
        users: Where marks of users are: first and last cell.
        merged: Of an archive: the files that are part of it.
        forgotten: Of an archive: the cells of a living file's record when it was removed, by file and place.
    """

    name: str
    header: Header
    data: bytes
    cells: memoryview[float]
    rows: Mapping[Definition, list[Row]]
    differences: list[Difference]
    labels: Mapping[int, tuple[Definition, Labels]]
    exemplars: list[tuple[int, int, int, int]]
    users: list[tuple[int, int]]
    merged: frozenset[str]
    forgotten: Mapping[tuple[str, int, int], list[float]]

    def exemplar(self, start: int, end: int) -> Exemplar | None:
        """Return the exemplar at a position, or None while it is being written."""
        found = exemplar_from(self.data[start:end])
        if found is None:
            return None
        labels, value, timestamp = found
        return Exemplar(cast("dict[str, str]", orjson.loads(labels)), value, timestamp)


class Reader:
    """Reads one file again and again."""

    def __init__(self, name: str, definitions: Definitions) -> None:
        self._name = name
        self._definitions = definitions
        self._parsed = HEADER_BYTES
        self._forget(0)

    def read(self, descriptor: int) -> Part:
        """Read the file as it is now.

        Raises:
            OSError: It cannot be read.
            ValueError: It is damaged, or none of ours.
        """
        for _ in range(_TRIES):
            header = read_header(os.pread(descriptor, HEADER_BYTES, 0))
            if header.used > os.fstat(descriptor).st_size:
                raise ValueError(f"{self._name} is shorter than the {header.used} bytes its header says")
            data = os.pread(descriptor, header.used, 0)
            if read_header(os.pread(descriptor, HEADER_BYTES, 0)).edits == header.edits:
                break
        return self.understand(header, data)

    def understand(self, header: Header, data: bytes) -> Part:
        """Return what the bytes of a file say.

        Raises:
            ValueError: They are damaged.
        """
        if len(data) != header.used:
            raise ValueError(f"{self._name} has {len(data)} bytes, and its header says {header.used}")
        if header.edits != self._edits or header.used < self._parsed:
            self._forget(header.edits)
        try:
            found = list(records(data, self._parsed, header.used))
            # A series may have got a place before the metric that it belongs to.
            for record in sorted(found, key=lambda record: record.kind != Kind.METRIC):
                self._take(record)
        except (KeyError, TypeError, ValueError) as error:
            self._forget(0)
            raise ValueError(f"{self._name} cannot be read: {error}") from error
        self._parsed = header.used
        return Part(
            self._name,
            header,
            data,
            memoryview(data).cast("d"),
            self._rows,
            self._differences,
            self._labels,
            self._exemplars,
            self._users,
            frozenset(self._merged),
            self._forgotten,
        )

    def _forget(self, edits: int) -> None:
        self._edits = edits
        self._parsed = HEADER_BYTES
        self._metrics: dict[int, Definition] = {}
        self._rows: dict[Definition, list[Row]] = {}
        self._labels: dict[int, tuple[Definition, Labels]] = {}
        self._differences: list[Difference] = []
        self._exemplars: list[tuple[int, int, int, int]] = []
        self._users: list[tuple[int, int]] = []
        self._merged: list[str] = []
        self._forgotten: dict[tuple[str, int, int], list[float]] = {}

    def _take(self, record: Record) -> None:
        if record.kind == Kind.METRIC:
            definition = self._definitions.of(record.body)
            self._metrics[record.offset] = definition
            self._rows.setdefault(definition, [])
        elif record.kind == Kind.SERIES:
            self._take_series(record)
        elif record.kind == Kind.USERS:
            self._users.append((record.cells // 8, record.end // 8))
        elif record.kind == Kind.EXEMPLAR:
            of, bucket = orjson.loads(record.body)
            self._exemplars.append((int(of), int(bucket), record.cells, record.end))
        elif record.kind == Kind.DIFFERENCE:
            metric, started, finished = orjson.loads(record.body)
            self._differences.append(Difference(self._metrics[metric], started, finished))
        elif record.kind == Kind.MERGED:
            self._merged += orjson.loads(record.body)
        elif record.kind == Kind.FORGOTTEN:
            name, offset, serial, cells = orjson.loads(record.body)
            self._forgotten[name, offset, serial] = [float.fromhex(cell) for cell in cells]
        else:
            raise ValueError(f"has the unknown kind {record.kind}")

    def _take_series(self, record: Record) -> None:
        metric, values = orjson.loads(record.body)
        definition = self._metrics[metric]
        labels = tuple(values)
        start = record.cells // 8
        stop = start + definition.cells
        if len(labels) != len(definition.spec.labels) or stop * 8 > record.end:
            raise ValueError(f"does not fit {definition.spec.name}")
        self._rows[definition].append(Row(labels, (record.offset, record.serial), start, stop))
        self._labels[record.offset] = (definition, labels)
