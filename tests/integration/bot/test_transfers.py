"""Money is moved between cards from the chat: said how, refused with a reason, told once it is done."""

from decimal import Decimal

import asyncpg
import pytest

from midas.bot.apologies import QUEUE_AWAY
from midas.bot.routers.transfers import read_wish
from midas.demo.internet import Failure

from .conftest import metric

OFX = b"""OFXHEADER:100
DATA:OFXSGML
VERSION:102
SECURITY:NONE
ENCODING:USASCII
CHARSET:1252
COMPRESSION:NONE
OLDFILEUID:NONE
NEWFILEUID:NONE

<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>EUR<BANKACCTFROM><ACCTID>%s</BANKACCTFROM><BANKTRANLIST>
<STMTTRN><TRNTYPE>CREDIT<DTPOSTED>20261003<TRNAMT>%s<FITID>1<NAME>NORDWIND GEHALT</STMTTRN>
</BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>
"""


@pytest.fixture
async def cards(bot, person):
    """Two cards: •4021 with 100 euros, •7788 with 5."""
    await person.hands_over("one.ofx", OFX % (b"DE4021", b"100.00"))
    await person.hands_over("two.ofx", OFX % (b"DE7788", b"5.00"))


async def test_how_it_is_done_is_shown_with_the_cards(bot, person, cards):
    """/transfer alone, or with words that are no transfer, says how and lists what there is."""
    for words in ("/transfer", "/transfer 5 4021", "/transfer much 4021 7788", "/transfer 1 2 3 4"):
        seen = await person.says(words)
        assert "/transfer AMOUNT FROM TO" in seen.text
        assert "•4021: 100.00 EUR" in seen.text
        assert "•7788: 5.00 EUR" in seen.text


async def test_without_cards_an_import_is_what_is_missing(bot, person):
    """Who has imported nothing is told what to do first."""
    assert "I know no card of yours yet" in (await person.says("/transfer")).text


async def test_money_is_moved_and_told_once(bot, person, cards, settings):
    """The notice is the answer; the balances and the list of cards show it."""
    assert (await person.says("/transfer 25.50 4021 7788")).text == "✅ Moved 25.50 EUR from •4021 to •7788."
    seen = await person.says("/transfer")
    assert "•4021: 74.50 EUR" in seen.text
    assert "•7788: 30.50 EUR" in seen.text
    assert "105.00 EUR" in (await person.says("/balance")).text
    assert await metric(settings, "saga_finished_total", saga="card-transfer", outcome="completed") == 1
    assert await metric(settings, "bot_requests_total", command="transfer", outcome="ok") == 2


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("200 4021 7788", "⚠️ Nothing was moved: •4021 holds 100.00 EUR, and you want to move 200.00 EUR."),
        ("5 1111 7788", "⚠️ Nothing was moved: you have no card 1111; yours are •4021, •7788."),
        ("5USD 4021 7788", "⚠️ Nothing was moved: •4021 is in EUR and not in USD."),
    ],
)
async def test_a_refusal_says_why(bot, person, cards, words, answer):
    """Nothing is moved, and the reason is one sentence."""
    assert (await person.says(f"/transfer {words}")).text == answer


async def test_a_messenger_that_is_busy_hears_of_it_later(bot, person, cards, internet):
    """The queue tries the notice again; the money is moved once."""
    internet.faults.fail_next("sendMessage", Failure(500, "Internal Server Error"), times=4)
    assert "Moved 10.00 EUR" in (await person.says("/transfer 10 4021 7788")).text
    assert "•4021: 90.00 EUR" in (await person.says("/transfer")).text


async def test_a_slow_transfer_is_acknowledged_first(bot, person, cards, postgres_url, hurry):
    """While the database is locked the person hears that it is under way; after it, that it is done."""
    connection = await asyncpg.connect(postgres_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE transfers IN ACCESS EXCLUSIVE MODE")
            with hurry():
                assert "takes longer than usual" in (await person.says("/transfer")).text
                assert "I am moving it" in (await person.says("/transfer 1 from 4021 to 7788")).text
        assert (await person.sees("message")).text == "✅ Moved 1.00 EUR from •4021 to •7788."
    finally:
        await connection.close()


async def test_without_redis_nothing_is_moved(without_redis, redis_cable, person):
    """The person is told to try again, and what they send then is moved once."""
    await person.hands_over("one.ofx", OFX % (b"DE4021", b"100.00"))
    await person.hands_over("two.ofx", OFX % (b"DE7788", b"5.00"))
    await redis_cable.pull_out()
    assert QUEUE_AWAY in (await person.says("/transfer 10 4021 7788")).text
    await redis_cable.plug_in()
    assert "Moved 10.00 EUR" in (await person.says("/transfer 10 4021 7788")).text
    assert "•4021: 90.00 EUR" in (await person.says("/transfer")).text


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        ("25 1 2", (Decimal(25), None)),
        ("25,50 1 2", (Decimal("25.50"), None)),
        ("1,000 1 2", (Decimal(1000), None)),
        ("1.234,50 1 2", (Decimal("1234.50"), None)),
        ("25eur from 1 to 2", (Decimal(25), "EUR")),
        ("25 EUR 1 2", (Decimal(25), "EUR")),
        ("€25 1 2", (Decimal(25), "EUR")),
    ],
)
def test_amounts_are_read_as_people_write_them(words, wish):
    """With a comma or a full stop, with a currency or without."""
    assert read_wish(words) == (wish, "1", "2")
