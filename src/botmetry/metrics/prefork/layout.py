"""How counts lie in a file: a header, then records, each a described row of 8-byte cells.

The file is memory-mapped by its writer and read by everybody else, so three rules hold:

- A record is complete before the header's `used` goes past it.
- Cells are 8 bytes at addresses divisible by 8: the machine stores and loads them whole.
- What a record describes never changes while the header's `edits` stays the same, so readers may remember it.

Numbers are in the machine's own byte order: the folder belongs to the processes of one machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is an exception, and reads like one
from typing import Final, NamedTuple
from zlib import crc32

__all__ = [
    "CPU_AT",
    "EDITS_AT",
    "HEADER_BYTES",
    "RECORD_BYTES",
    "SERIAL_AT",
    "USED_AT",
    "Header",
    "Kind",
    "Record",
    "exemplar_bytes",
    "exemplar_from",
    "filler_bytes",
    "header_bytes",
    "read_header",
    "record_bytes",
    "records",
]

HEADER_BYTES: Final = 128
"""The header's size; what it does not need yet is zero."""

USED_AT: Final = 16
"""Where the header says how many bytes of the file are records."""

EDITS_AT: Final = 24
"""Where the header counts the beginnings and ends of changes to what records describe."""

CPU_AT: Final = 48
"""Where the header has the processor time that the process was last seen with."""

_MAGIC: Final = b"botmetry"
_VERSION: Final = 1
_HEADER: Final = Struct("=8sQQQQQdQQ")
_RECORD: Final = Struct("=IIIIQ")  # length, kind, checksum, length of the body, serial
_CHECKSUM: Final = Struct("=I")
_EXEMPLAR: Final = Struct("=Idd")  # length of the labels, value, timestamp

SERIAL_AT: Final = 16
"""Where a record says the how-manieth it is at its place, 8 bytes; 0 when it was given back."""

RECORD_BYTES: Final = _RECORD.size
"""The length of a record's head, and so of the shortest record."""

_BODY_STEP: Final = 32  # bodies of nearly the same length can take each other's place


class Kind(IntEnum):
    """What a record describes.

    `METRIC` names and labels; `SERIES` label values, and cells with the numbers; `DIFFERENCE` a gauge that is one
    metric minus another; `EXEMPLAR` the latest example of a bucket; `USERS` marks of users and when they were seen;
    and, in archives alone, `MERGED` files that are part of it, `FORGOTTEN` what of a living file was removed.
    """

    METRIC = 1
    SERIES = 2
    DIFFERENCE = 3
    EXEMPLAR = 4
    USERS = 5
    MERGED = 6
    FORGOTTEN = 7


class Header(NamedTuple):
    """What a file says of itself.

    Attributes:
        used: Bytes of the file that are header and records.
        edits: Odd while a record is being given another meaning.
        generation: Of an archive: how often it was written anew.
        pid: Of the process that writes it; 0 for an archive.
        cpu_seconds: Processor time: of the process when last seen, or of all processes in the archive.
        namespace: The kernel's number for the pid namespace.
        checksum: Of an archive: over everything after the header.
    """

    used: int
    edits: int = 0
    generation: int = 0
    pid: int = 0
    cpu_seconds: float = 0.0
    namespace: int = 0
    checksum: int = 0


class Record(NamedTuple):
    """One record.

    Attributes:
        offset: Where it begins.
        serial: The how-manieth record it is at this place.
        kind: What it describes.
        body: The description.
        cells: Where its cells begin.
        end: Where it ends.
    """

    offset: int
    serial: int
    kind: int
    body: bytes
    cells: int
    end: int


def header_bytes(header: Header) -> bytes:
    """Return the header as it lies in the file."""
    return _HEADER.pack(_MAGIC, _VERSION, *header).ljust(HEADER_BYTES, b"\0")


def read_header(data: bytes) -> Header:
    """Read the header at the beginning of `data`.

    Raises:
        ValueError: This is no file of ours, or one of another version.
    """
    if len(data) < HEADER_BYTES:
        raise ValueError(f"it has {len(data)} bytes, fewer than a header")
    magic, version, *fields = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise ValueError("it does not begin like a file of this version of botmetry")
    header = Header(*fields)
    if header.used < HEADER_BYTES or header.used % 8:
        raise ValueError(f"its header says that {header.used} bytes are used")
    return header


def record_bytes(kind: Kind, body: bytes, cells: bytes, serial: int = 1) -> bytes:
    """Return a whole record; `cells` has a multiple of 8 bytes, `serial` is not 0."""
    padded = body.ljust(-(-len(body) // _BODY_STEP) * _BODY_STEP, b"\0")
    length = _RECORD.size + len(padded) + len(cells)
    return _RECORD.pack(length, kind, crc32(body, kind), len(body), serial) + padded + cells


def filler_bytes(length: int) -> bytes:
    """Return a record that says nothing and is skipped by readers."""
    return _RECORD.pack(length, 0, 0, 0, 0).ljust(length, b"\0")


def records(data: bytes, start: int, end: int) -> Iterator[Record]:
    """Yield the valid records between two positions of `data`.

    Raises:
        ValueError: What is there is no row of records.
    """
    while start < end:
        try:
            length, kind, checksum, body_length, serial = _RECORD.unpack_from(data, start)
        except StructError:
            raise ValueError(f"a record at {start} is cut off") from None
        body_at = start + _RECORD.size
        cells = body_at + -(-body_length // _BODY_STEP) * _BODY_STEP
        if length % 8 or cells > start + length or start + length > end:
            raise ValueError(f"a record at {start} has impossible lengths")
        if serial:
            body = data[body_at : body_at + body_length]
            if crc32(body, kind) != checksum:
                raise ValueError(f"the record at {start} is damaged")
            yield Record(start, serial, kind, body, cells, start + length)
        start += length


def exemplar_bytes(labels: bytes, value: float, timestamp: float) -> bytes:
    """Return an exemplar as it lies in a record's cells; `labels` is its labels, encoded."""
    data = _EXEMPLAR.pack(len(labels), value, timestamp) + labels
    return _CHECKSUM.pack(crc32(data)) + data


def exemplar_from(data: bytes) -> tuple[bytes, float, float] | None:
    """Return an exemplar's encoded labels, value and time, or None while it is being written."""
    (checksum,) = _CHECKSUM.unpack_from(data)
    length, value, timestamp = _EXEMPLAR.unpack_from(data, _CHECKSUM.size)
    start = _CHECKSUM.size + _EXEMPLAR.size
    end = start + length
    if end > len(data) or crc32(data[_CHECKSUM.size : end]) != checksum:
        return None
    return data[start:end], value, timestamp
