"""CSV statements are read in whatever dialect a bank writes, or refused with the line."""

import csv
import io
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas.domain.money import format_amount
from midas.errors import StatementError
from midas.sync.statements import MAX_BYTES, MAX_ROWS, parse_statement

SPARKASSE = """\
"Auftragskonto";"Buchungstag";"Valutadatum";"Buchungstext";"Verwendungszweck";"Beguenstigter/Zahlungspflichtiger";"Betrag";"Waehrung"
"DE02120300000000202051";"03.11.26";"03.11.26";"KARTENZAHLUNG";"LIDL SAGT DANKE";"LIDL";"-1.023,45";"EUR"
"DE02120300000000202051";"02.11.26";"02.11.26";"GUTSCHRIFT";"Gehalt";"ACME GmbH";"2.500,00";"EUR"
"""
ING = """\
Umsatzanzeige;Datei erstellt am: 04.11.2026
IBAN;DE02 1203 0000 0000 2020 51
Bank;ING

Buchung;Valuta;Auftraggeber/Empfänger;Buchungstext;Verwendungszweck;Saldo;Währung;Betrag;Währung
03.11.2026;03.11.2026;VISA LIDL;Lastschrift;NR XXXX 1234;1.476,55;EUR;-23,45;EUR
02.11.2026;02.11.2026;ACME GmbH;Gehalt/Rente;Gehalt 10/2026;1.500,00;EUR;2.500,00;EUR
"""
DEUTSCHE_BANK = """\
Umsätze Girokonto;;;;;
Buchungstag;Wert;Begünstigter / Auftraggeber;Verwendungszweck;Soll;Haben;Währung
11/03/2026;11/03/2026;LIDL;Einkauf;-23,45;;EUR
11/14/2026;11/14/2026;ACME GmbH;Gehalt;;2.500,00;EUR
Kontostand;;;;;2.476,55;EUR
"""
REVOLUT = """\
Type,Product,Started Date,Completed Date,Description,Amount,Fee,Currency,State,Balance
CARD_PAYMENT,Current,2026-11-03 11:59:00,2026-11-03 12:00:01,Lidl,-23.45,0.00,EUR,COMPLETED,100.00
TRANSFER,Current,2026-11-04 09:00:00,,Jane Doe,-5.00,0.00,EUR,PENDING,
CARD_PAYMENT,Current,2026-11-05 10:00:00,2026-11-05 10:00:00,"Tesco, ""Metro"" W1",-1.00,0.00,GBP,COMPLETED,50.00
"""
BARCLAYS = 'Date,Details,Paid out (£),Paid in (£)\n03 Nov 2026,TESCO,12.50,\n04 Nov 2026,SALARY,,"1,000.00"\n'
DIRECTION = "Datum\tEmpfänger\tBetrag\tSoll/Haben\n2026-11-03\tLIDL\t23,45\tS\n2026-11-04\tACME\t10,00\tH\n"


def rows_of(text, encoding="utf-8", name="file.csv"):
    return [
        (
            booking.occurred_at.isoformat(),
            str(booking.money.amount),
            booking.money.currency,
            booking.description,
        )
        for booking in parse_statement(name, text.encode(encoding)).transactions
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_the_encoding_is_found(encoding):
    """Umlauts arrive whole from each encoding that banks use."""
    assert rows_of(ING, encoding)[0] == (
        "2026-11-03T00:00:00+00:00",
        "-23.45",
        "EUR",
        "VISA LIDL | NR XXXX 1234",
    )


def test_a_savings_bank_file_is_read():
    """Quotes, two-digit years, points between thousands, and the account in a column."""
    statement = parse_statement("sparkasse.csv", SPARKASSE.encode("cp1252"))

    assert (statement.source, statement.account, statement.currency) == (
        "csv",
        "DE02120300000000202051",
        "EUR",
    )
    assert rows_of(SPARKASSE) == [
        ("2026-11-03T00:00:00+00:00", "-1023.45", "EUR", "LIDL | LIDL SAGT DANKE"),
        ("2026-11-02T00:00:00+00:00", "2500.00", "EUR", "ACME GmbH | Gehalt"),
    ]


def test_lines_above_the_header_are_passed_over_and_the_balance_is_read():
    """A preamble is no booking; the running balance of the latest one is what the account holds."""
    statement = parse_statement("ing.csv", ING.encode())

    assert [booking.line for booking in statement.transactions] == [6, 7]
    (balance,) = statement.balances
    assert (str(balance.money), balance.taken_at) == ("1,476.55 EUR", datetime(2026, 11, 3, tzinfo=UTC))


def test_columns_for_debit_and_credit_give_the_sign_and_a_footer_is_none():
    """Beside Soll and Haben the column Wert is a date; the remark at the end is no booking; 11/14 shows month first."""
    assert rows_of(DEUTSCHE_BANK) == [
        ("2026-11-03T00:00:00+00:00", "-23.45", "EUR", "LIDL | Einkauf"),
        ("2026-11-14T00:00:00+00:00", "2500.00", "EUR", "ACME GmbH | Gehalt"),
    ]


def test_what_is_not_booked_yet_is_left_out():
    """A pending row comes again when it is booked, so it would be there twice."""
    assert rows_of(REVOLUT) == [
        ("2026-11-03T12:00:01+00:00", "-23.45", "EUR", "Lidl"),
        ("2026-11-05T10:00:00+00:00", "-1.00", "GBP", 'Tesco, "Metro" W1'),
    ]


def test_the_currency_may_stand_in_the_header():
    """Paid out (£) says pounds for the whole column."""
    assert rows_of(BARCLAYS) == [
        ("2026-11-03T00:00:00+00:00", "-12.50", "GBP", "TESCO"),
        ("2026-11-04T00:00:00+00:00", "1000.00", "GBP", "SALARY"),
    ]


def test_the_sign_may_stand_in_a_column_of_its_own():
    """S is spent and H is received, whatever the sign of the amount."""
    assert [row[1] for row in rows_of(DIRECTION)] == ["-23.45", "10.00"]


@pytest.mark.parametrize(
    ("dates", "read"),
    [
        (["12/01/2026", "01/02/2026", "03/02/2026"], ["2026-01-12", "2026-02-01", "2026-02-03"]),
        (["01/12/2026", "02/01/2026", "02/03/2026"], ["2026-01-12", "2026-02-01", "2026-02-03"]),
        (["02/03/2026", "02/01/2026", "01/12/2026"], ["2026-02-03", "2026-02-01", "2026-01-12"]),
        (["03/04/2026"], ["2026-04-03"]),
    ],
    ids=["day first", "month first", "month first, latest first", "alone"],
)
def test_two_readings_of_a_date_are_decided_by_the_order(dates, read):
    """Banks sort by date, so the reading under which the file is sorted is right; alone, the day comes first."""
    text = "Date,Amount\n" + "".join(f"{date},1\n" for date in dates)

    assert [row[0][:10] for row in rows_of(text)] == read


def test_an_offset_is_turned_into_utc():
    """12:00 in Berlin is 11:00 in UTC."""
    assert rows_of("Date,Amount\n2026-11-03T12:00:00+01:00,1\n")[0][0] == "2026-11-03T11:00:00+00:00"


def test_a_file_without_bookings_is_an_empty_statement():
    """A month in which nothing happened is no error."""
    assert parse_statement("empty.csv", b"Date,Amount\n").transactions == ()


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", None, "is empty"),
        ("   \n\n", None, "is empty"),
        ("hello world", None, "no header row"),
        ("Name;City\nA;B\n", None, "no header row"),
        ("%PDF-1.7 …", None, "PDF"),
        ("PK\x03\x04…", None, "Excel"),
        ("Date,Amount\n2026-11-03,1.00\n2026-13-03,2.00\n", 3, "is not a date"),
        ("Date,Amount\n2026-11-03,1.00\n2026-11-03,1,5.5\n2026-11-03,12x\n", 4, "is not an amount"),
        ("Date,Amount\n2026-11-03,\n", 2, "an amount is missing"),
        ("Date,Amount\n2026-11-03\n", 2, "an amount is missing"),
        ("Date,Debit,Credit\n2026-11-03,1.00,2.00\n", 2, "both as debit and as credit"),
        ("Date,Debit,Credit\n2026-11-03,,\n", 2, "an amount is missing"),
        ("Date,Amount,Currency\n2026-11-03,1.00,EURO\n", 2, "not an ISO 4217"),
        ('Date,Amount,Memo\n2026-11-03,1.00,"abc\n2026-11-04,1.00,x\n', 2, "broken CSV"),
        ('Date,Amount,Memo\n2026-11-03,1.00,ok\n2026-11-04,1.00,"a"b\n', 3, "broken CSV"),
        ("Date,Amount\nsoon,1.00\n2026-11-03,1.00\n", 2, "is not a date"),
        ("Type,Info,Date,Amount\nA,B,2026-11-03,1.00\nA,B\n", 3, "is not a date"),
        ("Date,Amount\n2026-11-03,1000000000000000\n", 2, "larger than any account"),
        ("Date,Amount\n0001-01-01T00:00:00+23:00,1\n", 2, "is not a date"),
    ],
)
def test_a_broken_file_is_refused_with_line_and_reason(text, line, reason):
    """The error names the file, the line where that can be said, and what is wrong there."""
    with pytest.raises(StatementError, match=reason) as caught:
        parse_statement("broken.csv", text.encode())

    assert (caught.value.path, caught.value.line) == ("broken.csv", line)


def test_bytes_that_are_no_text_are_refused():
    """0x81 means nothing in Windows-1252, and is broken UTF-8."""
    with pytest.raises(StatementError, match="is not text"):
        parse_statement("x.csv", b"Date,Amount\n\x81\x8d\n")


def test_files_that_are_too_large_are_refused():
    """Ten megabytes and fifty thousand rows are the limits."""
    with pytest.raises(StatementError, match="larger than 10 MB"):
        parse_statement("large.csv", b"x" * (MAX_BYTES + 1))
    with pytest.raises(StatementError, match="more than 50000 bookings") as caught:
        parse_statement("long.csv", b"Date,Amount\n" + b"2026-11-03,1\n" * (MAX_ROWS + 1))
    assert caught.value.line == MAX_ROWS + 2


def test_equal_rows_are_distinct_and_the_same_in_an_overlapping_file():
    """The second coffee of a day is a second transaction, and no third one when a longer file comes."""
    day = "2026-11-03,-2.50,COFFEE\n"
    first = parse_statement("a.csv", f"Date,Amount,Description\n{day}{day}".encode()).for_user(1)
    second = parse_statement(
        "b.csv", f"Date;Amount;Description\n{day}{day}{day}2026-11-04,-9,X\n".replace(",", ";").encode()
    ).for_user(1)

    ids = [transaction.external_id for transaction in first]
    assert len(set(ids)) == 2
    assert [transaction.external_id for transaction in second][:2] == ids
    assert len({transaction.external_id for transaction in second}) == 4


DATES = st.dates(date(2000, 1, 1), date(2099, 12, 31))
TEXTS = st.text(st.characters(codec="cp1252", categories=["L", "N", "P", "Zs"]), max_size=30).map(
    lambda text: " ".join(text.split())
)
BOOKINGS = st.lists(
    st.tuples(DATES, st.decimals("-99999.99", "99999.99", places=2), TEXTS, TEXTS), min_size=1, max_size=12
)
DIALECTS = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from([";", ",", "\t", "|"]),
        "mark": st.sampled_from([".", ","]),
        "date": st.sampled_from(["%d.%m.%Y", "%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d %b %Y"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
        "ending": st.sampled_from(["\n", "\r\n"]),
        "headers": st.sampled_from(
            [
                ("Buchungstag", "Empfänger", "Verwendungszweck", "Betrag", "Währung"),
                ("Booking Date", "Payee", "Description", "Amount", "Currency"),
                ("Datum", "Auftraggeber / Empfänger", "Zweck", "Umsatz", "Whg."),
            ]
        ),
        "split": st.booleans(),
        "preamble": st.sampled_from(["", "Girokonto\nZeitraum\n", "Account 1\n\n"]),
    }
)


def written(bookings, dialect):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=dialect["delimiter"], lineterminator=dialect["ending"])
    day, name, purpose, amount, currency = dialect["headers"]
    columns = ["Soll", "Haben"] if dialect["split"] else [amount]
    writer.writerow([day, name, purpose, *columns, currency])
    for booked_on, value, payee, text in bookings:
        number = format_amount(
            abs(value) if dialect["split"] else value, "EUR", dialect["mark"]
        ).removesuffix(" EUR")
        cells = [number] if not dialect["split"] else (["", number] if value > 0 else [number, ""])
        writer.writerow([booked_on.strftime(dialect["date"]), payee, text, *cells, "EUR"])
    preamble = dialect["preamble"].replace("\n", dialect["ending"])
    return (preamble + out.getvalue()).encode(dialect["encoding"])


@given(BOOKINGS, DIALECTS)
def test_what_a_bank_writes_is_what_is_read(bookings, dialect):
    """In every dialect each booking comes back with its day, its exact amount and its words."""
    statement = parse_statement("generated.csv", written(bookings, dialect))

    assert [
        (booking.occurred_at.date(), booking.money.amount, booking.money.currency)
        for booking in statement.transactions
    ] == [(booked_on, value, "EUR") for booked_on, value, _, _ in bookings]
    assert [booking.description.split(" | ")[0] for booking in statement.transactions] == [
        (payee or text).split(" | ")[0] for _, _, payee, text in bookings
    ]


@given(BOOKINGS, DIALECTS)
def test_the_dialect_does_not_change_the_identity(bookings, dialect):
    """The same bookings in another dialect are the same transactions."""
    plain = {
        **dialect,
        "delimiter": ";",
        "mark": ",",
        "date": "%d.%m.%Y",
        "encoding": "utf-8",
        "split": False,
    }
    ids = [
        [
            transaction.external_id
            for transaction in parse_statement("x.csv", written(bookings, form)).for_user(1)
        ]
        for form in (dialect, plain)
    ]

    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(bookings)


@given(BOOKINGS, DIALECTS, st.data())
def test_a_damaged_file_is_read_or_refused(bookings, dialect, data):
    """Bytes cut out, changed or put in give a statement or a StatementError, never anything else."""
    whole = written(bookings, dialect)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 20)))
    damaged = whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:]

    try:
        statement = parse_statement("damaged.csv", damaged)
    except StatementError as error:
        assert error.reason
    else:
        assert len(statement.for_user(1)) == len(statement.transactions)


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_fail_otherwise(data):
    """Any bytes at all give a statement or a StatementError."""
    try:
        parse_statement("random", data)
    except StatementError:
        return
