"""Statements come in through the chat: at once stored and acknowledged, later sorted and reported."""

import asyncpg

from midas.demo.internet import Failure

from .conftest import metric

STATEMENT = (
    b"Date,Description,Amount,Currency\n"
    b"2026-11-02,LIDL 1234 BERLIN,-12.30,EUR\n"
    b"2026-11-03,PAYPAL *SPOTIFY,-9.99,EUR\n"
    b"2026-11-04,QUVEX TROMBAL 0231,-40.00,EUR\n"
)


async def test_a_statement_is_acknowledged_before_the_ai_and_reported_after_it(bot, person, workshop):
    """The answer comes while no worker has run anything; when all tasks have ended, one message says how."""
    seen = await person.hands_over("november.csv", STATEMENT)
    assert seen.text.splitlines() == [
        "📥 november.csv: 3 payments, 3 of them new.",
        "I am sorting the new ones and will tell you how it went.",
    ]
    assert await workshop.queue.get_queue_size() == 3
    assert await workshop.work_off() == 3
    seen = await person.sees("message")
    assert seen.text.splitlines() == [
        "🗂 Categorization of 3 payments finished: 2 filed.",
        "1 payment waits for you: /pending",
    ]


async def test_the_same_statement_again_adds_nothing(bot, person, workshop):
    """The second time every payment is known, nothing is queued, and the balance stays the same."""
    await person.hands_over("november.csv", STATEMENT)
    before = await person.says("/balance")
    assert "-62.29 EUR" in before.text
    seen = await person.hands_over("again.csv", STATEMENT)
    assert seen.text == "📥 again.csv: 3 payments, 0 of them new."
    assert await workshop.queue.get_queue_size() == 3
    assert (await person.says("/balance")).text == before.text


async def test_a_broken_file_names_its_line_and_stores_nothing(bot, person, workshop):
    """The line and the reason are said; neither the good lines above it nor anything else is stored."""
    broken = STATEMENT + b"2026-11-05,REWE,twelve,EUR\n"
    seen = await person.hands_over("broken.csv", broken)
    assert "I cannot read broken.csv." in seen.text
    assert "line 5:" in seen.text
    assert "Nothing of this file was stored" in seen.text
    assert await workshop.queue.get_queue_size() == 0
    assert "I know no account" in (await person.says("/balance")).text


async def test_what_was_stored_before_survives_a_broken_file(bot, person, workshop):
    """A broken file after a good one changes nothing of the good one."""
    await person.hands_over("good.csv", STATEMENT)
    await person.hands_over("broken.csv", b"nothing that a bank would write")
    assert "-62.29 EUR" in (await person.says("/balance")).text


async def test_a_file_of_another_kind_is_refused_with_a_reason(bot, person):
    """A picture is no statement, and the answer says what is."""
    seen = await person.hands_over("cat.png", b"\x89PNG\r\n\x1a\n" + bytes(200))
    assert "I cannot read cat.png." in seen.text


async def test_a_file_that_is_too_large_is_not_even_fetched(bot, person, internet):
    """More than ten megabytes are refused by the size that Telegram names, without downloading."""
    internet.faults.fail_next("getFile", Failure(500, "must not be called"), times=5)
    seen = await person.hands_over("decade.csv", bytes(10 * 2**20 + 1))
    assert "decade.csv has 10.0 MB, and I read at most 10" in seen.text


async def test_a_file_that_telegram_does_not_give_is_asked_for_again(bot, person, internet, settings):
    """When the download fails the person is told to send it once more, and the error is counted."""
    internet.faults.fail_next("getFile", Failure(400, "Bad Request: file is temporarily unavailable"))
    seen = await person.hands_over("november.csv", STATEMENT)
    assert "The file november.csv could not be fetched from Telegram; please send it once more." in seen.text
    assert await metric(settings, "bot_errors_total", command="import", error_type="DownloadFailed") == 1
    assert "3 of them new" in (await person.hands_over("november.csv", STATEMENT)).text


async def test_a_slow_import_is_acknowledged_first(bot, person, postgres_url, workshop, hurry):
    """While the database is locked the person hears that the file is being read; after it, how it went."""
    connection = await asyncpg.connect(postgres_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE")
            with hurry():
                seen = await person.hands_over("november.csv", STATEMENT)
            assert seen.text == "📄 I am reading november.csv. I will tell you when it is done."
        assert "3 of them new" in (await person.sees("message")).text
        await workshop.work_off()
        assert "Categorization of 3 payments finished" in (await person.sees("message")).text
    finally:
        await connection.close()


async def test_what_is_open_can_be_sorted_again(bot, person, workshop):
    """/categorize queues what has no category, says how many, and reports the end."""
    await person.hands_over("november.csv", STATEMENT)
    await workshop.queue.clear_queue()
    assert "Categorization of 3 payments finished: 0 filed." in (await person.sees("message")).text
    assert (await person.says("/categorize")).text == "I am sorting 3 payments and will tell you how it went."
    assert await workshop.work_off() == 3
    assert "finished: 2 filed." in (await person.sees("message")).text


async def test_names_of_files_are_shown_as_they_are(bot, person):
    """Markup in a file's name is quoted, not interpreted."""
    seen = await person.hands_over("<b>&amp;.csv", STATEMENT)
    assert "📥 <b>&amp;.csv: 3 payments" in seen.text
