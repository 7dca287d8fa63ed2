"""OFX statements, both kinds: SGML (versions 1.x) and XML (2.x).

ofxtools reads header and tags; what the tags mean is read here from its tree, because real banks leave out
elements that the specification demands and its strict models would refuse their files.
"""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Final

from ofxtools.Parser import OFXTree
from ofxtools.Types import DateTime

from midas.domain.merchants import SEPARATOR
from midas.domain.money import Money, is_currency, parse_amount
from midas.errors import StatementError
from midas.sync.bookings import Balance, Booking, Statement, one_line

if TYPE_CHECKING:
    from datetime import datetime
    from xml.etree.ElementTree import Element

# Everything that ofxtools was seen to raise on broken files; SyntaxError is the root of its own errors.
_UNREADABLE: Final = (SyntaxError, ValueError, LookupError, TypeError, AssertionError, AttributeError)

# ofxtools does not notice an element without an end, so half a file would pass for a whole one.
_MUST_CLOSE: Final = (b"STMTTRN", b"BANKTRANLIST", b"STMTRS", b"CCSTMTRS", b"OFX")

_STATEMENTS: Final = ("STMTRS", "CCSTMTRS")
_ACCOUNTS: Final = ("BANKACCTFROM", "CCACCTFROM")
_MOST_TAGS: Final = 1_500_000
"""Fifty thousand bookings of ten elements have a million; ten megabytes of tags would be a tree of half a gigabyte."""

_LONGEST_HEADER: Final = 8 * 1024
_POSITION: Final = re.compile(r"position=\[(\d+):")
_DATE: Final = DateTime()


@dataclass(slots=True)
class _Reading:
    """Where we are in the file."""

    name: str
    lines: list[int]
    """The line of each STMTTRN element, in the order of the file."""
    bookings: list[Booking] = field(default_factory=list)
    balances: list[Balance] = field(default_factory=list)

    @property
    def line(self) -> int | None:
        """The line of the booking that is read next."""
        return self.lines[len(self.bookings)] if len(self.bookings) < len(self.lines) else None

    def wrong(self, reason: str) -> StatementError:
        return StatementError(self.name, self.line, reason)


def parse_ofx(name: str, data: bytes, max_rows: int) -> Statement:
    """Read an OFX file completely.

    Raises:
        StatementError: It is broken, holds no bank or credit card statement, or more than `max_rows` bookings.
    """
    for tag in _MUST_CLOSE:
        _check_closed(name, data, tag)
    reading = _Reading(name, _lines_of(data, b"<STMTTRN>"))
    if len(reading.lines) > max_rows:
        raise StatementError(
            name, reading.lines[max_rows], f"has more than {max_rows} bookings; split it by year"
        )
    root = _read_tree(name, data)
    found = [element for element in root.iter() if element.tag in _STATEMENTS]
    if not found:
        raise StatementError(name, None, "holds no bank or credit card statement")
    for element in found:
        _read_account(reading, element)
    return _statement(reading, found[0])


def _read_tree(name: str, data: bytes) -> Element:
    start = data.find(b"<OFX>")
    if not 0 <= start <= _LONGEST_HEADER:
        raise StatementError(name, None, "is not OFX: there is no <OFX> behind the header")
    if data.count(b"<") > _MOST_TAGS:
        raise StatementError(name, None, "has far more elements than a statement needs")
    first_line = data.count(b"\n", 0, start) + 1
    body = _without_cdata(name, data[start:], first_line)
    tree = OFXTree()
    try:
        tree.parse(io.BytesIO(_tame_header(data[:start]) + body))
        root = tree.getroot()
    except _UNREADABLE as error:
        position = _POSITION.search(str(error))
        line = None if position is None else first_line + body.count(b"\n", 0, int(position[1]))
        raise StatementError(name, line, f"is broken OFX: {_short(error)}") from error
    if root is None or root.tag != "OFX":
        raise StatementError(name, None, "is broken OFX: it does not consist of one <OFX> element")
    return root


def _tame_header(header: bytes) -> bytes:
    """Shorten runs of white space, on which ofxtools' header expressions take cubic time."""
    return re.sub(rb"[ \t\f\v]{2,}", b" ", re.sub(rb"(?:\r?\n){3,}", b"\n\n", header.lstrip()))


def _without_cdata(name: str, body: bytes, first_line: int) -> bytes:
    """Turn CDATA sections into escaped text: ofxtools takes several on one line for one, and quadratic time."""
    parts, position = [], 0
    while (start := body.find(b"<![CDATA[", position)) >= 0:
        end = body.find(b"]]>", start)
        if end < 0:
            line = first_line + body.count(b"\n", 0, start)
            raise StatementError(name, line, "is broken OFX: a CDATA section does not end")
        content = body[start + 9 : end].replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")
        parts += [body[position:start], content]
        position = end + 3
    return b"".join([*parts, body[position:]])


def _read_account(reading: _Reading, statement: Element) -> None:
    account = next((_text(found, "ACCTID") for tag in _ACCOUNTS for found in statement.iter(tag)), "")
    currency = _text(statement, "CURDEF").upper()
    if not is_currency(currency):
        raise StatementError(
            reading.name, None, f"its currency is {currency[:20]!r} and not an ISO 4217 code"
        )
    for element in statement.iter("STMTTRN"):
        reading.bookings.append(_booking(reading, element, account, currency))
    for element in statement.iter("LEDGERBAL"):
        money = _money(reading, _text(element, "BALAMT"), currency)
        reading.balances.append(Balance(account, money, _date(reading, _text(element, "DTASOF"))))


def _booking(reading: _Reading, element: Element, account: str, currency: str) -> Booking:
    names = [_text(element, "NAME") or _text(element, "PAYEE/NAME"), _text(element, "MEMO")]
    description = SEPARATOR.join(part for part in dict.fromkeys(names) if part)
    return Booking(
        line=reading.line or 0,
        occurred_at=_date(reading, _text(element, "DTPOSTED")),
        money=_money(
            reading, _text(element, "TRNAMT"), _text(element, "CURRENCY/CURSYM").upper() or currency
        ),
        description=description or _text(element, "TRNTYPE"),
        account=account,
        reference=_text(element, "FITID"),
    )


def _money(reading: _Reading, text: str, currency: str) -> Money:
    if not text:
        raise reading.wrong("an amount is missing")
    try:
        amount, _ = parse_amount(text, "," if text.rfind(",") > text.rfind(".") else ".")
        return Money(amount, currency)
    except ValueError as error:
        raise reading.wrong(str(error)) from error


def _date(reading: _Reading, text: str) -> datetime:
    if not text:
        raise reading.wrong("a date is missing")
    try:
        converted: datetime = _DATE.convert(text)
    except (*_UNREADABLE, OverflowError) as error:
        raise reading.wrong(f"{text[:40]!r} is not a date") from error
    return converted.astimezone(UTC)


def _text(element: Element, path: str) -> str:
    # ofxtools unescapes only in its models, which are not used here.
    return one_line(html.unescape(element.findtext(path) or ""))


def _statement(reading: _Reading, first: Element) -> Statement:
    currencies = Counter(booking.money.currency for booking in reading.bookings)
    currency = currencies.most_common(1)[0][0] if currencies else _text(first, "CURDEF").upper()
    accounts = [_text(found, "ACCTID") for tag in _ACCOUNTS for found in first.iter(tag)]
    return Statement(
        source="ofx",
        account=accounts[0] if accounts else "",
        currency=currency,
        transactions=tuple(reading.bookings),
        balances=tuple(reading.balances),
    )


def _lines_of(data: bytes, tag: bytes) -> list[int]:
    lines, position, line = [], 0, 1
    while (found := data.find(tag, position)) >= 0:
        line += data.count(b"\n", position, found)
        lines.append(line)
        position = found + len(tag)
    return lines


def _check_closed(name: str, data: bytes, tag: bytes) -> None:
    opened: int | None = None
    for match in re.finditer(b"<(/?)" + tag + b">", data):
        is_end = bool(match[1])
        if is_end and opened is None:
            line = data.count(b"\n", 0, match.start()) + 1
            raise StatementError(name, line, f"is broken OFX: </{tag.decode()}> ends nothing")
        if not is_end and opened is not None:
            break
        opened = None if is_end else match.start()
    if opened is not None:
        line = data.count(b"\n", 0, opened) + 1
        raise StatementError(name, line, f"is broken OFX: <{tag.decode()}> does not end")


def _short(error: BaseException) -> str:
    # ofxtools puts the whole document into some messages.
    return one_line(str(error).partition(" in <")[0])[:80] or type(error).__name__
