"""How banks write the same entries: the dialects of CSV that customers really download, and OFX."""

import csv
import io
import zlib
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Literal
from xml.sax.saxutils import escape

from midas.demo.internet.entries import Entry

Writer = Callable[[str, Sequence[Entry]], bytes]


def _plain(_: str, entries: Sequence[Entry]) -> bytes:
    rows = [(f"{entry.day:%Y-%m-%d}", _both(entry), f"{entry.amount:.2f}", "EUR") for entry in entries]
    return _table(("Date", "Description", "Amount", "Currency"), rows, ",").encode()


def _savings_bank(account: str, entries: Sequence[Entry]) -> bytes:
    header = (
        "Auftragskonto", "Buchungstag", "Valutadatum", "Buchungstext", "Verwendungszweck",
        "Beguenstigter/Zahlungspflichtiger", "Betrag", "Waehrung",
    )  # fmt: skip
    rows = [
        (
            account, f"{entry.day:%d.%m.%y}", f"{entry.day:%d.%m.%y}", "KARTENZAHLUNG", entry.purpose,
            entry.counterparty, _comma(entry.amount), "EUR",
        )
        for entry in entries
    ]  # fmt: skip
    return _table(header, rows, ";", quote=True).encode("cp1252")


def _direct_bank(_: str, entries: Sequence[Entry]) -> bytes:
    header = ("Booking Date", "Value Date", "Partner Name", "Payment Reference", "Type", "Amount (EUR)")
    rows = [
        (
            f"{entry.day:%Y-%m-%d}", f"{entry.day:%Y-%m-%d}", entry.counterparty, entry.purpose, "Presentment",
            f"{entry.amount:.2f}",
        )
        for entry in entries
    ]  # fmt: skip
    return _table(header, rows, ",", quote=True).encode()


def _neobank(_: str, entries: Sequence[Entry]) -> bytes:
    header = (
        "Type", "Product", "Started Date", "Completed Date", "Description", "Amount", "Fee", "Currency", "State",
        "Balance",
    )  # fmt: skip
    rows = [
        (
            "CARD_PAYMENT", "Current", f"{entry.day:%Y-%m-%d} 10:00:00", f"{entry.day:%Y-%m-%d} 18:00:00",
            entry.counterparty, f"{entry.amount:.2f}", "0.00", "EUR", "COMPLETED", f"{entry.balance:.2f}",
        )
        for entry in entries
    ]  # fmt: skip
    return _table(header, rows, ",").encode()


def _two_columns(_: str, entries: Sequence[Entry]) -> bytes:
    rows = [
        (
            f"{entry.day:%d/%m/%Y}", _both(entry),
            f"{-entry.amount:.2f}" if entry.amount < 0 else "", f"{entry.amount:.2f}" if entry.amount > 0 else "",
        )
        for entry in entries
    ]  # fmt: skip
    return _table(("Date", "Description", "Debit", "Credit"), rows, ",").encode()


def _ofx(account: str, entries: Sequence[Entry]) -> bytes:
    first, last = min(entry.day for entry in entries), max(entry.day for entry in entries)
    lines = "\n".join(_ofx_entry(account, entry) for entry in entries)
    return _OFX.format(
        account=account, now=_stamp(last), start=_stamp(first), end=_stamp(last), lines=lines
    ).encode()


DIALECTS = ("plain", "savings-bank", "direct-bank", "neobank", "two-columns", "ofx")

_WRITERS: dict[str, Writer] = {
    "plain": _plain,
    "savings-bank": _savings_bank,
    "direct-bank": _direct_bank,
    "neobank": _neobank,
    "two-columns": _two_columns,
    "ofx": _ofx,
}

_OFX = """OFXHEADER:100
DATA:OFXSGML
VERSION:102
SECURITY:NONE
ENCODING:UTF-8
CHARSET:NONE
COMPRESSION:NONE
OLDFILEUID:NONE
NEWFILEUID:NONE

<OFX>
<SIGNONMSGSRSV1><SONRS><STATUS><CODE>0<SEVERITY>INFO</STATUS><DTSERVER>{now}<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1>
<BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STATUS><CODE>0<SEVERITY>INFO</STATUS>
<STMTRS><CURDEF>EUR
<BANKACCTFROM><BANKID>10010010<ACCTID>{account}<ACCTTYPE>CHECKING</BANKACCTFROM>
<BANKTRANLIST><DTSTART>{start}<DTEND>{end}
{lines}
</BANKTRANLIST>
<LEDGERBAL><BALAMT>0.00<DTASOF>{end}</LEDGERBAL>
</STMTRS></STMTTRNRS></BANKMSGSRSV1>
</OFX>
"""


def write_statement(dialect: str, account: str, entries: Sequence[Entry]) -> tuple[str, bytes]:
    """Return the name and the content of the file that a bank of this dialect gives for the entries (one or more)."""
    kind = "ofx" if dialect == "ofx" else "csv"
    last: date = max(entry.day for entry in entries)
    return f"statement-{last:%Y-%m-%d}.{kind}", _WRITERS[dialect](account, entries)


def _ofx_entry(account: str, entry: Entry) -> str:
    kind = "DEBIT" if entry.amount < 0 else "CREDIT"
    # The bank's own id: from what the entry is, so that the same entry in the next statement has the same one.
    identity = f"{entry.day:%Y%m%d}{zlib.crc32(repr((account, entry)).encode()):010d}"
    memo = f"<MEMO>{escape(entry.purpose)}" if entry.purpose else ""
    name = escape(entry.counterparty[:32])
    return (
        f"<STMTTRN><TRNTYPE>{kind}<DTPOSTED>{_stamp(entry.day)}<TRNAMT>{entry.amount:.2f}"
        f"<FITID>{identity}<NAME>{name}{memo}</STMTTRN>"
    )


def _both(entry: Entry) -> str:
    return f"{entry.counterparty} {entry.purpose}".strip()


def _comma(amount: Decimal) -> str:
    return f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))


def _stamp(day: date) -> str:
    return f"{day:%Y%m%d}120000"


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], delimiter: str, *, quote: bool = False
) -> str:
    text = io.StringIO()
    quoting: Literal[0, 1] = csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
