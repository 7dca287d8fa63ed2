"""The archive: one file that says what the files of all ended processes said.

Merging is safe against being killed anywhere. The new archive names the files that it has taken in and replaces the
old one in one step; whoever reads it passes these files over, and whoever merges next removes what is left of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from zlib import crc32

import orjson

from botmetry.metrics.catalogue import OTHER
from botmetry.metrics.metric import OVERFLOW_SERIES, overflow_key
from botmetry.metrics.prefork.definitions import Definition, describe
from botmetry.metrics.prefork.layout import (
    HEADER_BYTES,
    Header,
    Kind,
    exemplar_bytes,
    header_bytes,
    record_bytes,
)
from botmetry.metrics.prefork.marks import Marks, marks_bytes
from botmetry.metrics.prefork.reading import Labels
from botmetry.metrics.prefork.totals import Cells, Forgotten, Totals, reduced
from botmetry.metrics.series import Exemplar

__all__ = ["Contents", "archive_bytes", "checked"]


class Contents(NamedTuple):
    """What goes into an archive.

    Attributes:
        totals: The series.
        users: Who was seen.
        merged: Names of the files that are part of it and may still lie in the folder.
        forgotten: Cells of living files' records at the time they were removed, by file and place.
        generation: How often the archive was written.
        cpu_seconds: Processor time of all processes that ended.
    """

    totals: Totals
    users: Marks
    merged: list[str]
    forgotten: Forgotten
    generation: int
    cpu_seconds: float


def checked(data: bytes, header: Header) -> bytes:
    """Return the bytes of an archive, when they are as they were written.

    Raises:
        ValueError: They are not.
    """
    if len(data) != header.used or crc32(data[HEADER_BYTES:]) != header.checksum:
        raise ValueError("the archive is damaged; the counts of ended processes start again at 0")
    return data


def archive_bytes(contents: Contents) -> bytes:
    """Return a whole archive."""
    pieces = list(_records(contents))
    body = b"".join(pieces)
    header = Header(
        used=HEADER_BYTES + len(body),
        generation=contents.generation,
        cpu_seconds=contents.cpu_seconds,
        checksum=crc32(body),
    )
    return header_bytes(header) + body


def _records(contents: Contents) -> Iterable[bytes]:
    offset = HEADER_BYTES
    totals = contents.totals
    numbers: dict[Definition, int] = {}
    for definition, rows in totals.rows.items():
        numbers[definition] = offset
        described = record_bytes(Kind.METRIC, describe(definition), b"")
        offset += len(described)
        yield described
        for labels, cells in limited(definition, rows).items():
            body = orjson.dumps([numbers[definition], labels])
            series = record_bytes(Kind.SERIES, body, struct.pack(f"={len(cells)}d", *cells))
            exemplars = totals.exemplars.get((definition, labels), {})
            examples = [_exemplar(offset, bucket, kept) for bucket, kept in exemplars.items()]
            for piece in (series, *examples):
                offset += len(piece)
                yield piece
    for gauge, difference in totals.differences.items():
        body = orjson.dumps([numbers[gauge], difference.started, difference.finished])
        yield record_bytes(Kind.DIFFERENCE, body, b"")
    yield record_bytes(Kind.USERS, b"", marks_bytes(contents.users))
    yield record_bytes(Kind.MERGED, orjson.dumps(contents.merged), b"")
    for place, cells in contents.forgotten.items():
        yield record_bytes(Kind.FORGOTTEN, orjson.dumps([*place, [cell.hex() for cell in cells]]), b"")


def limited(definition: Definition, rows: Mapping[Labels, list[Cells]]) -> dict[Labels, Cells]:
    """Return the series of a metric, past its limit folded into `__other__` as in one process."""
    limit = definition.limit
    if limit is None or len(rows) <= limit or not definition.spec.labels:
        return {labels: reduced(definition, contributions) for labels, contributions in rows.items()}
    kept: dict[Labels, list[Cells]] = {}
    known: tuple[frozenset[str], ...] | None = None
    for labels, contributions in rows.items():
        key = labels
        if len(kept) >= limit and OTHER not in labels:
            known = known or tuple(map(frozenset, zip(*kept, strict=True)))
            key = overflow_key(labels, known, kept, room=len(kept) < limit + OVERFLOW_SERIES)
        kept.setdefault(key, []).extend(contributions)
    return {labels: reduced(definition, contributions) for labels, contributions in kept.items()}


def _exemplar(of: int, bucket: int, exemplar: Exemplar) -> bytes:
    data = exemplar_bytes(orjson.dumps(dict(exemplar.labels)), exemplar.value, exemplar.timestamp)
    return record_bytes(Kind.EXEMPLAR, orjson.dumps([of, bucket]), data.ljust(-(-len(data) // 8) * 8, b"\0"))
