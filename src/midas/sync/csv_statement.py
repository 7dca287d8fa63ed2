"""CSV statements, in whatever dialect the bank writes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from midas.domain.merchants import SEPARATOR
from midas.domain.money import Money, is_currency, parse_amount
from midas.errors import StatementError
from midas.sync.bookings import Balance, Booking, Statement, one_line
from midas.sync.csv_dates import DateFormat, detect_date_format
from midas.sync.csv_dialect import Layout, decode, detect_decimal_mark, find_layout, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from midas.domain.money import DecimalMark

DEFAULT_CURRENCY: Final = "EUR"
"""Where neither a column nor a header nor an amount names a currency; German banks often leave it out."""

_SYMBOLS: Final = {"€": "EUR", "$": "USD", "£": "GBP"}
_SPENT: Final = frozenset({"s", "d", "soll", "debit", "dbit", "dr", "-"})
_RECEIVED: Final = frozenset({"h", "c", "haben", "credit", "crdt", "cr", "+"})
_NOT_BOOKED: Final = frozenset(
    {"pending", "vorgemerkt", "reverted", "declined", "failed", "cancelled", "abgelehnt", "storniert"}
)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the file with its columns by role."""

    line: int
    cells: list[str]
    layout: Layout

    def __getitem__(self, role: str) -> str:
        column = self.layout.columns.get(role)
        return self.cells[column] if column is not None and column < len(self.cells) else ""

    @property
    def is_footer(self) -> bool:
        """Whether it is a remark such as "Endsaldo;1.234,00": there is no digit where the date should be.

        A row that ends before the date is one only if it is a single cell; else it is a booking that was torn off.
        """
        if self.layout.columns["date"] >= len(self.cells) > 1:
            return False
        return not any(character.isdigit() for character in self["date"])

    @property
    def amounts(self) -> list[str]:
        return [text for role in ("amount", "debit", "credit", "balance") if (text := self[role])]


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How this file writes what it says."""

    name: str
    dates: DateFormat
    mark: DecimalMark
    currency: str

    def wrong(self, row: _Row, reason: str) -> StatementError:
        return StatementError(self.name, row.line, reason)


def parse_csv(name: str, data: bytes, max_rows: int) -> Statement:
    """Read a CSV file completely.

    Rows that the bank marks as not booked are left out: they come again, changed, when they are.

    Raises:
        StatementError: It is broken, no statement, or has more than `max_rows` bookings.
    """
    text = decode(name, data)
    layout = find_layout(name, text)
    rows = list(_booked(name, text, layout, max_rows))
    if not rows:
        return Statement("csv", "", DEFAULT_CURRENCY, ())
    try:
        dates = detect_date_format([row["date"] for row in rows])
    except ValueError as error:
        raise StatementError(name, rows[0].line, str(error)) from error
    mark = detect_decimal_mark((amount for row in rows for amount in row.amounts), layout.delimiter)
    currency = _SYMBOLS.get(layout.currency, layout.currency) or DEFAULT_CURRENCY
    dialect = _Dialect(name, dates, mark, currency)
    bookings = tuple(_booking(dialect, row) for row in rows)
    currencies = Counter(booking.money.currency for booking in bookings)
    return Statement(
        source="csv",
        account=bookings[0].account,
        currency=currencies.most_common(1)[0][0],
        transactions=bookings,
        balances=_balances(dialect, rows, bookings),
    )


def _booked(name: str, text: str, layout: Layout, max_rows: int) -> Iterator[_Row]:
    """Give the rows below the header that are bookings."""
    footer: _Row | None = None
    count = 0
    for line, cells in read_rows(name, text, layout.delimiter):
        row = _Row(line, cells, layout)
        if line <= layout.header_line or not any(cells) or row["state"].casefold() in _NOT_BOOKED:
            continue
        if row.is_footer:
            footer = footer or row
            continue
        if footer is not None:
            # Only the end of a file may hold remarks; in the middle it is a booking that lost its date.
            raise StatementError(name, footer.line, f"{footer['date'][:40]!r} is not a date")
        count += 1
        if count > max_rows:
            raise StatementError(name, line, f"has more than {max_rows} bookings; split it by year")
        yield row


def _booking(dialect: _Dialect, row: _Row) -> Booking:
    try:
        occurred_at = dialect.dates.parse(row["date"])
    except (ValueError, OverflowError) as error:
        raise dialect.wrong(
            row, f"{row['date'][:40]!r} is not a date written {dialect.dates.name}"
        ) from error
    money = _money(dialect, row)
    # The payer is the other side of what was received, the payee of what was spent.
    other = (row["payer"] if money.amount > 0 else "") or row["counterparty"] or row["payer"]
    parts = dict.fromkeys(one_line(part) for part in (other, row["purpose"]))
    return Booking(
        line=row.line,
        occurred_at=occurred_at,
        money=money,
        description=SEPARATOR.join(part for part in parts if part),
        account=one_line(row["account"]),
        reference=one_line(row["reference"]),
    )


def _money(dialect: _Dialect, row: _Row) -> Money:
    has_one_column = "amount" in row.layout.columns
    amount, currency = _directed(dialect, row) if has_one_column else _debit_or_credit(dialect, row)
    named = _SYMBOLS.get(row["currency"], row["currency"].upper()) or currency or dialect.currency
    if not is_currency(named):
        raise dialect.wrong(row, f"{named[:20]!r} is not an ISO 4217 currency code")
    return Money(amount, named)


def _directed(dialect: _Dialect, row: _Row) -> tuple[Decimal, str | None]:
    """Read the amount with its sign, which some banks put into a column of its own."""
    amount, currency = _amount(dialect, row, "amount")
    direction = row["direction"].casefold()
    if direction in _SPENT:
        return amount.copy_abs().copy_negate(), currency
    return (amount.copy_abs() if direction in _RECEIVED else amount), currency


def _debit_or_credit(dialect: _Dialect, row: _Row) -> tuple[Decimal, str | None]:
    credit = _amount(dialect, row, "credit") if row["credit"] else None
    debit = _amount(dialect, row, "debit") if row["debit"] else None
    if credit and debit and credit[0] and debit[0]:
        raise dialect.wrong(row, "has an amount both as debit and as credit")
    if credit and (credit[0] or not debit):
        return credit[0].copy_abs(), credit[1]
    if debit:
        # Written with or without a minus: the column says it already.
        return debit[0].copy_abs().copy_negate(), debit[1]
    raise dialect.wrong(row, "an amount is missing")


def _amount(dialect: _Dialect, row: _Row, role: str) -> tuple[Decimal, str | None]:
    if not row[role]:
        raise dialect.wrong(row, "an amount is missing")
    try:
        return parse_amount(row[role], dialect.mark)
    except ValueError as error:
        raise dialect.wrong(row, str(error)) from error


def _balances(dialect: _Dialect, rows: Sequence[_Row], bookings: Sequence[Booking]) -> tuple[Balance, ...]:
    """Give the balance after the last booking, if the file has a running balance whose arithmetic is right.

    It tells whether the file runs forwards or backwards in time: only in the true direction do balance and amount
    agree.
    """
    if not all(row["balance"] for row in rows) or len({(b.account, b.money.currency) for b in bookings}) > 1:
        return ()
    try:
        balances = [parse_amount(row["balance"], dialect.mark)[0] for row in rows]
    except ValueError:
        return ()
    amounts = [booking.money.amount for booking in bookings]
    forwards = all(balances[i] == balances[i - 1] + amounts[i] for i in range(1, len(rows)))
    backwards = all(balances[i] == balances[i + 1] + amounts[i] for i in range(len(rows) - 1))
    if forwards == backwards and len(rows) > 1:
        return ()
    last = -1 if forwards else 0
    booking = bookings[last]
    return (Balance(booking.account, Money(balances[last], booking.money.currency), booking.occurred_at),)
