"""Bank statements of unknown origin become bookings, or one clear error: never something in between.

Use ``parse_statement`` on the bytes of a file as a user sent it. It looks at the content, not at the name: people
rename files. It is CPU-bound and takes up to a few seconds for the largest file, so call it in a thread.
"""

from __future__ import annotations

from typing import Final, Literal

from midas.errors import StatementError
from midas.sync.bookings import Statement
from midas.sync.csv_statement import parse_csv
from midas.sync.ofx_statement import parse_ofx

MAX_BYTES: Final = 10 * 1024 * 1024
"""Ten years of an active account are about 5 MB; Telegram's bots may fetch files of up to 20 MB."""

MAX_ROWS: Final = 50_000
"""Fourteen bookings a day for ten years."""

_FOREIGN: Final = (
    (b"%PDF", "is a PDF document; export the statement as CSV or OFX"),
    (b"PK\x03\x04", "is a ZIP archive or an Excel workbook; export the statement as CSV or OFX"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook; export the statement as CSV or OFX"),
    (b"\x1f\x8b", "is compressed; unpack it first"),
    (b"\x89PNG", "is a picture; export the statement as CSV or OFX"),
    (b"\xff\xd8\xff", "is a picture; export the statement as CSV or OFX"),
)
_OFX_BEGINNINGS: Final = (b"OFXHEADER", b"<?XML", b"<?OFX", b"<OFX>")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def parse_statement(name: str, data: bytes) -> Statement:
    """Read a CSV or OFX statement completely.

    Args:
        name: For error messages only.
        data: The file, at most 10 MB with at most 50,000 bookings.

    Raises:
        StatementError: The file is too large, of another kind, or broken; with the line where that can be said.
    """
    if len(data) > MAX_BYTES:
        raise StatementError(name, None, f"is larger than {MAX_BYTES // 1024 // 1024} MB; split it by year")
    beginning = _beginning(data)
    if not beginning:
        raise StatementError(name, None, "is empty")
    for magic, reason in _FOREIGN:
        if beginning.startswith(magic):
            raise StatementError(name, None, reason)
    if kind_of(data) == "ofx":
        return parse_ofx(name, data.removeprefix(_BYTE_ORDER_MARK), MAX_ROWS)
    return parse_csv(name, data, MAX_ROWS)


def kind_of(data: bytes) -> Literal["csv", "ofx"]:
    """Tell from the first bytes as what a file will be read; CSV has no mark of its own, so it is the rest."""
    return "ofx" if _beginning(data).upper().startswith(_OFX_BEGINNINGS) else "csv"


def _beginning(data: bytes) -> bytes:
    return data[:1024].removeprefix(_BYTE_ORDER_MARK).lstrip()
