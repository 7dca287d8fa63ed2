"""Finds out how a bank writes CSV: encoding, delimiter, header, decimal mark.

There is no standard for CSV statements. What can be seen is decided by looking: the delimiter is the one under
which a header row is found, the decimal mark the one that the amounts themselves prove. What stays open after
that has a rule, written where it is applied.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from midas.errors import StatementError
from midas.sync.csv_headers import HEADERS, fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from midas.domain.money import DecimalMark

DELIMITERS: Final = (";", ",", "\t", "|")

_HEADER_ROWS: Final = 40
"""How far down a header is looked for: banks put up to about fifteen lines with account and period above it."""

_BYTE_ORDER_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)

# A list and not three capitals, which PAID OUT has, too.
_CURRENCY_IN_HEADER: Final = re.compile(
    r"[(\[ ]\s*(?:in\s+)?(AUD|BGN|CAD|CHF|CZK|DKK|EUR|GBP|HKD|HUF|INR|ISK|JPY|NOK|NZD|PLN|RON|SEK|SGD|TRY|UAH|USD|ZAR"
    r"|[€$£])\s*[)\]]?\s*$"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in the file."""

    delimiter: str
    header_line: int
    """Line of the header, counted from 1."""
    columns: dict[str, int]
    """Column of each role in ``HEADERS``, counted from 0."""
    currency: str
    """What the header of the amount says, such as EUR; empty where it says nothing."""


def decode(name: str, data: bytes) -> str:
    """Decode by byte order mark, as UTF-16 without one, as UTF-8, or as Windows-1252, in this order.

    Raises:
        StatementError: It is none of these, or not text.
    """
    encoding = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    for candidate in [encoding] if encoding else [*_unmarked_utf16(data), "utf-8", "cp1252"]:
        try:
            text = data.decode(candidate).removeprefix("\ufeff")
        except UnicodeDecodeError:
            continue
        if "\x00" in text:
            break
        return text
    raise StatementError(name, None, "is not text in UTF-8, UTF-16 or Windows-1252")


def read_rows(name: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Give each row with the line on which it begins, cells stripped.

    Raises:
        StatementError: Quotes are broken.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise StatementError(name, line, f"is broken CSV: {error}") from error
        yield line, [cell.strip() for cell in row]
        line = reader.line_num + 1


def find_layout(name: str, text: str) -> Layout:
    """Find the header row, and with it the delimiter.

    Raises:
        StatementError: No row names a date and an amount.
    """
    found = [layout for delimiter in DELIMITERS for layout in _layouts(name, text, delimiter)]
    if not found:
        raise StatementError(
            name,
            None,
            "has no header row with a date and an amount, such as Buchungstag;Betrag or Date,Amount",
        )
    return max(found, key=lambda layout: len(layout.columns))


def detect_decimal_mark(amounts: Iterable[str], delimiter: str) -> DecimalMark:
    """Give the decimal mark that the amounts prove.

    1.234,5 and 12,34 prove a comma. 1.234 proves nothing: it may be a thousand or one and a bit. Where nothing is
    proved, files with semicolons are taken for continental ones (Excel uses the semicolon where the comma is the
    decimal mark).
    """
    votes = {",": 0, ".": 0}
    for amount in amounts:
        digits = re.sub(r"[^\d.,]", "", amount)
        last = max(digits.rfind(","), digits.rfind("."))
        if last < 0:
            continue
        mark, other = digits[last], "." if digits[last] == "," else ","
        group = 3
        if digits.count(mark) > 1:
            votes[other] += 1
        elif other in digits or len(digits) - last - 1 != group:
            votes[mark] += 1
    if votes[","] == votes["."]:
        return "," if delimiter == ";" else "."
    return "," if votes[","] > votes["."] else "."


def _layouts(name: str, text: str, delimiter: str) -> Iterator[Layout]:
    rows = read_rows(name, text, delimiter)
    try:
        for (line, row), _ in zip(rows, range(_HEADER_ROWS), strict=False):
            columns = _columns(row)
            if "date" in columns and columns.keys() & {"amount", "credit"}:
                yield Layout(delimiter, line, columns, _currency_in_header(row, columns))
    except StatementError:
        # Quotes that are broken under this delimiter may be whole under another one.
        return


def _columns(row: list[str]) -> dict[str, int]:
    folded = [fold(_CURRENCY_IN_HEADER.sub("", cell)) for cell in row]
    columns = {}
    for role, names in HEADERS.items():
        position = next((folded.index(known) for known in names if known in folded), None)
        if position is not None:
            columns[role] = position
    if {"debit", "credit"} <= columns.keys():
        # Beside them "Wert" is the value date, and "Amount" mostly in a foreign currency.
        columns.pop("amount", None)
    return columns


def _currency_in_header(row: list[str], columns: dict[str, int]) -> str:
    for role in ("amount", "debit", "credit"):
        match = _CURRENCY_IN_HEADER.search(row[columns[role]]) if role in columns else None
        if match is not None:
            return match[1]
    return ""


def _unmarked_utf16(data: bytes) -> list[str]:
    """Guess from where the zero bytes of ASCII characters lie."""
    sample = data[:2000]
    half = len(sample) // 4
    if sample[1::2].count(0) > half:
        return ["utf-16-le"]
    return ["utf-16-be"] if sample[0::2].count(0) > half else []
