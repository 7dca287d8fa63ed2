"""OFX statements of both kinds are read, or refused with the line."""

from datetime import UTC, date, datetime
from decimal import Decimal
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas.errors import StatementError
from midas.sync.statements import parse_statement

SGML_HEADER = """\
OFXHEADER:100
DATA:OFXSGML
VERSION:102
SECURITY:NONE
ENCODING:USASCII
CHARSET:1252
COMPRESSION:NONE
OLDFILEUID:NONE
NEWFILEUID:NONE

"""
XML_HEADER = """\
<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<?OFX OFXHEADER="200" VERSION="211" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>
"""


def leaf(tag, text, is_xml):
    return f"<{tag}>{escape(text)}" + (f"</{tag}>" if is_xml else "") + "\n"


def bank(
    bookings,
    *,
    is_xml=False,
    account="DE02120300000000202051",
    currency="EUR",
    kind="STMTRS",
    where="BANKACCTFROM",
):
    rows = "".join(
        "<STMTTRN>\n"
        + "".join(leaf(tag, text, is_xml) for tag, text in booking.items() if text)
        + "</STMTTRN>\n"
        for booking in bookings
    )
    balance = leaf("BALAMT", "100.00", is_xml) + leaf("DTASOF", "20261105", is_xml)
    body = (
        f"<OFX>\n<BANKMSGSRSV1>\n<STMTTRNRS>\n<{kind}>\n{leaf('CURDEF', currency, is_xml)}"
        f"<{where}>\n{leaf('ACCTID', account, is_xml)}</{where}>\n<BANKTRANLIST>\n{rows}</BANKTRANLIST>\n"
        f"<LEDGERBAL>\n{balance}</LEDGERBAL>\n</{kind}>\n</STMTTRNRS>\n</BANKMSGSRSV1>\n</OFX>\n"
    )
    return ((XML_HEADER if is_xml else SGML_HEADER) + body).encode("utf-8" if is_xml else "cp1252")


def booked(amount="-12.50", day="20261103", fitid="1", name="LIDL", memo="thank you"):
    return {"TRNTYPE": "DEBIT", "DTPOSTED": day, "TRNAMT": amount, "FITID": fitid, "NAME": name, "MEMO": memo}


@pytest.mark.parametrize("is_xml", [False, True], ids=["sgml", "xml"])
def test_both_kinds_are_read(is_xml):
    """Version 1 without end tags and version 2 with them give the same statement."""
    data = bank([booked(name="A & B", memo="Müller")], is_xml=is_xml)

    statement = parse_statement("bank.ofx", data)

    (booking,) = statement.transactions
    assert (statement.source, statement.account, statement.currency) == (
        "ofx",
        "DE02120300000000202051",
        "EUR",
    )
    assert (booking.money.amount, booking.description) == (Decimal("-12.50"), "A & B | Müller")
    assert booking.occurred_at == datetime(2026, 11, 3, tzinfo=UTC)
    (balance,) = statement.balances
    assert (str(balance.money), balance.taken_at) == ("100.00 EUR", datetime(2026, 11, 5, tzinfo=UTC))


def test_a_credit_card_statement_is_read():
    """Credit cards have elements of their own."""
    statement = parse_statement(
        "card.ofx", bank([booked()], kind="CCSTMTRS", where="CCACCTFROM", account="4111")
    )

    assert (statement.account, len(statement.transactions)) == ("4111", 1)


def test_times_are_turned_into_utc():
    """A bank in New York books five hours before UTC."""
    (booking,) = parse_statement("x.ofx", bank([booked(day="20261103120000.000[-5:EST]")])).transactions

    assert booking.occurred_at == datetime(2026, 11, 3, 17, tzinfo=UTC)


def test_cdata_is_text():
    """Sections of raw text are read as they are, several on one line, too."""
    data = bank([booked(name="N", memo="M")]).replace(
        b"<NAME>N\n<MEMO>M", b"<NAME><![CDATA[A <&> B]]><MEMO><![CDATA[C]]>"
    )

    (booking,) = parse_statement("x.ofx", data).transactions
    assert booking.description == "A <&> B | C"


def test_the_banks_own_id_makes_a_booking_known():
    """A FITID listed twice is one transaction; two bookings that are otherwise equal are two."""
    same = parse_statement("x.ofx", bank([booked(), booked()])).for_user(1)
    different = parse_statement("x.ofx", bank([booked(), booked(fitid="2")])).for_user(1)
    without = parse_statement("x.ofx", bank([booked(fitid=""), booked(fitid="")])).for_user(1)

    assert [
        len({transaction.external_id for transaction in found}) for found in (same, different, without)
    ] == [1, 2, 2]


GOOD = bank([booked(), booked(fitid="2")])


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (bank([booked(), booked(day="20261399")]), 28, "is not a date"),
        (bank([booked(), booked(day="")]), 28, "a date is missing"),
        (bank([booked(amount="12x")]), 20, "is not an amount"),
        (bank([booked(amount="")]), 20, "an amount is missing"),
        (bank([booked()], currency="EURO"), None, "not an ISO 4217"),
        (GOOD[: len(GOOD) // 2], 20, "<STMTTRN> does not end"),
        (GOOD.replace(b"</STMTTRN>\n<STMTTRN>", b"<STMTTRN>"), 20, "<STMTTRN> does not end"),
        (GOOD.removesuffix(b"</OFX>\n"), 11, "<OFX> does not end"),
        (GOOD.replace(b"<BANKTRANLIST>", b"", 1), 36, "</BANKTRANLIST> ends nothing"),
        (GOOD.replace(b"</STMTTRN>", b"</STMTTRN>junk", 1), 27, "is broken OFX"),
        (GOOD.replace(b"<MEMO>thank", b"<MEMO><![CDATA[thank", 1), 26, "CDATA section does not end"),
        (SGML_HEADER.encode(), None, "there is no <OFX>"),
        (b"OFXHEADER:100\n<OFX></OFX>", None, "is broken OFX"),
        (SGML_HEADER.encode() + b"<OFX>\n<A>x\n</OFX>\n", None, "holds no bank or credit card statement"),
        (b"<?xml version='1.0'?>\n<OFX></OFX>\n", None, "is broken OFX"),
    ],
)
def test_a_broken_file_is_refused_with_line_and_reason(data, line, reason):
    """The error names the file, the line where that can be said, and what is wrong there."""
    with pytest.raises(StatementError, match=reason) as caught:
        parse_statement("broken.ofx", data)

    assert (caught.value.path, caught.value.line) == ("broken.ofx", line)
    assert len(caught.value.reason) < 200


@pytest.mark.parametrize(
    "data",
    [
        SGML_HEADER.encode() + b" " * 4000 + b"<OFX>" + b"<A>" * 300_000 + b"</OFX>",
        b"OFXHEADER:100" + b" " * 8000 + b"<OFX></OFX>",
        b"<?xml" + b" " * 8000 + b"?><OFX></OFX>",
        SGML_HEADER.encode() + b"<OFX>" + b"<A><![CDATA[" * 100_000 + b"]]></OFX>",
        SGML_HEADER.encode() + b"<OFX>" + b"<A><![CDATA[x]]>" * 50_000 + b"</OFX>",
        SGML_HEADER.encode() + b"<OFX>" + b"<" * 1_000_000 + b"</OFX>",
        SGML_HEADER.encode() + b"<OFX>" + b"<A" * 500_000 + b"</OFX>",
    ],
    ids=["deep", "header spaces", "xml spaces", "open cdata", "many cdata", "brackets", "open tags"],
)
def test_a_malicious_file_is_refused_in_linear_time(data):
    """Files made to exhaust a parser are refused within the seconds that their size explains."""
    with pytest.raises(StatementError):
        parse_statement("evil.ofx", data)


NAMES = st.text(st.characters(codec="cp1252", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=30).map(
    lambda text: " ".join(text.split()) or "x"
)
BOOKINGS = st.lists(
    st.tuples(st.dates(date(1990, 1, 1)), st.decimals("-9999.99", "9999.99", places=2), NAMES, NAMES),
    max_size=8,
)


@given(BOOKINGS, st.booleans())
def test_what_a_bank_writes_is_what_is_read(bookings, is_xml):
    """Each booking comes back with its day, its exact amount and its words."""
    rows = [
        booked(f"{value:f}", day.strftime("%Y%m%d"), str(number), name, memo)
        for number, (day, value, name, memo) in enumerate(bookings)
    ]

    found = parse_statement("generated.ofx", bank(rows, is_xml=is_xml)).transactions

    assert [(booking.occurred_at.date(), booking.money.amount) for booking in found] == [
        b[:2] for b in bookings
    ]
    assert [booking.description for booking in found] == [
        " | ".join(dict.fromkeys((name, memo))) for _, _, name, memo in bookings
    ]


@given(BOOKINGS, st.booleans(), st.data())
def test_a_damaged_file_is_read_or_refused(bookings, is_xml, data):
    """Bytes cut out, changed or put in give a statement or a StatementError, never anything else."""
    rows = [
        booked(f"{value:f}", day.strftime("%Y%m%d"), "1", name, memo) for day, value, name, memo in bookings
    ]
    whole = bank(rows, is_xml=is_xml)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 30)))
    junk = data.draw(
        st.one_of(
            st.binary(max_size=20), st.sampled_from([b"<", b">", b"</", b"<STMTTRN>", b"&#0;", b"</OFX>"])
        )
    )

    try:
        statement = parse_statement("damaged.ofx", whole[:start] + junk + whole[end:])
    except StatementError as error:
        assert error.reason
    else:
        assert len(statement.for_user(1)) == len(statement.transactions)
