"""Whatever is away, people get an honest answer at once, the failure is counted, and the bot lives on."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from midas.bot.apologies import QUEUE_AWAY, STORE_AWAY, TOO_SLOW
from midas.demo.internet import Failure, InternetOptions, serve_internet
from midas.demo.ports import free_port

from .conftest import DEADLINE_SECONDS, TOKEN, Person, metric, running_bot, through
from .test_statements import STATEMENT

BROKEN = Failure(500, "Internal Server Error")


@pytest.fixture
async def without_postgres(settings, postgres_url, postgres_cable):
    """A bot whose PostgreSQL can be taken away."""
    chosen = replace(settings, database_url=through(postgres_url, postgres_cable))
    async with running_bot(chosen) as task:
        yield task


async def test_without_redis_what_needs_it_says_so(without_redis, redis_cable, person, settings):
    """Pending questions cannot be read: the person is told, the error is counted; the balance still works."""
    await redis_cable.pull_out()
    assert QUEUE_AWAY in (await person.says("/pending")).text
    assert "I know no account" in (await person.says("/balance")).text
    assert await metric(settings, "bot_requests_total", command="pending", outcome="error") == 1
    assert await metric(settings, "bot_errors_total", command="pending", error_type="QueueUnavailable") == 1
    await redis_cable.plug_in()
    assert "Nothing waits for you" in (await person.says("/pending")).text


async def test_without_redis_a_statement_is_stored_all_the_same(without_redis, redis_cable, person, workshop):
    """The payments are kept and the person is told to have them sorted later; after the outage that works."""
    await redis_cable.pull_out()
    person.account.send_document("november.csv", STATEMENT)
    seen = await person.sees("message")
    if "I am reading" in seen.text:
        seen = await person.sees("message")
    assert "3 payments, 3 of them new." in seen.text
    assert "send /categorize in a minute" in seen.text
    await redis_cable.plug_in()
    assert "I am sorting 3 payments" in (await person.says("/categorize")).text
    assert await workshop.work_off() == 3


async def test_a_report_goes_out_without_the_ai(without_redis, redis_cable, person, settings):
    """When Redis is away the report comes nevertheless, without the promise of an analysis; the error is counted."""
    await person.hands_over("november.csv", STATEMENT)
    await redis_cable.pull_out()
    assert "62.29 EUR in 3660 days" in (await person.says("/report 3660")).text
    assert await metric(settings, "bot_errors_total", command="report") == 1
    await redis_cable.plug_in()


async def test_a_redis_that_hangs_is_not_waited_for(without_redis, redis_cable, person, hurry):
    """The answer comes while Redis still says nothing."""
    redis_cable.hold()
    with hurry():
        seen = await person.says("/pending")
    assert seen.text in {f"⚠️ {TOO_SLOW}", f"⚠️ {QUEUE_AWAY}"}
    redis_cable.let_go()
    assert "Nothing waits for you" in (await person.says("/pending")).text


async def test_without_postgresql_people_are_told(without_postgres, postgres_cable, person, settings):
    """Every command that needs records says that they are away; afterwards it works again."""
    await postgres_cable.pull_out()
    for command in ("/balance", "/report", "/start"):
        assert STORE_AWAY in (await person.says(command)).text
    assert STORE_AWAY in (await person.hands_over("november.csv", STATEMENT)).text
    assert await metric(settings, "bot_errors_total", error_type="StoreUnavailable") == 4
    assert "/balance" in (await person.says("/help")).text
    await postgres_cable.plug_in()
    assert "3 of them new" in (await person.hands_over("november.csv", STATEMENT)).text


async def test_a_postgresql_that_hangs_is_not_waited_for(without_postgres, postgres_cable, person, hurry):
    """The answer comes while PostgreSQL still says nothing, not even that it took note of the cancellation."""
    await person.says("/balance")
    postgres_cable.hold()
    with hurry():
        assert TOO_SLOW in (await person.says("/balance")).text
    postgres_cable.let_go()
    assert "I know no account" in (await person.says("/balance")).text


async def test_a_locked_table_is_not_waited_for(bot, person, settings, postgres_url, hurry):
    """While a table is locked the person is told that it takes longer; the timeout is counted."""
    connection = await asyncpg.connect(postgres_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE wallets, transactions IN ACCESS EXCLUSIVE MODE")
            with hurry():
                assert TOO_SLOW in (await person.says("/balance")).text
        assert "I know no account" in (await person.says("/balance")).text
    finally:
        await connection.close()
    assert await metric(settings, "bot_requests_total", command="balance", outcome="timeout") == 1
    assert await metric(settings, "bot_errors_total", command="balance", error_type="TooSlow") == 1


async def test_a_decision_under_a_lock_is_finished_later(bot, person, workshop, postgres_url, hurry):
    """A click while the database is slow is acknowledged at once and filed when the lock is gone."""
    await person.hands_over("november.csv", STATEMENT)
    await workshop.work_off()
    await person.sees("message")
    seen = await person.says("/pending")
    connection = await asyncpg.connect(postgres_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE")
            with hurry():
                person.presses(seen, "✅")
                assert (
                    await person.sees("toast")
                ).text == "Noted. Filing it takes a moment longer than usual."
    finally:
        await connection.close()
    assert "Nothing waits for you" in (await person.says("/pending")).text
    stored = {transaction.status for transaction in await workshop.store.transactions.recent(7)}
    assert stored == {"auto", "confirmed"}


async def test_a_messenger_that_stays_broken_costs_one_answer(bot, person, internet, settings):
    """After three refused attempts the answer is lost and counted; the next one arrives."""
    internet.faults.fail_next("sendMessage", BROKEN, times=3)
    person.account.write("/help")
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await metric(settings, "bot_errors_total", error_type="TelegramServerError"):
            await asyncio.sleep(0.01)
    assert "Hello Ada" in (await person.says("/start")).text
    assert await metric(settings, "bot_errors_total", error_type="TelegramServerError") == 1


async def test_a_refused_answer_is_an_error_of_its_command(bot, person, internet, settings):
    """A command whose answer never arrived counts as an error of this command, not as a success."""
    internet.faults.fail_next("sendMessage", BROKEN, times=3)
    person.account.write("/help")
    while not await metric(settings, "bot_requests_total", command="help", outcome="error"):
        assert internet.book.summary()["answers"]["errors"] <= 3
    assert await metric(settings, "bot_errors_total", command="help", error_type="TelegramServerError") == 1


async def test_the_messenger_goes_away_and_comes_back(settings, postgres_url, redis_url):
    """The bot outlives an absence of Telegram and answers what is written afterwards."""
    port = free_port()
    async with serve_internet(InternetOptions(token=TOKEN, users=0, port=port)) as first:
        starting = running_bot(replace(settings, telegram_api_url=first.url))
        task = await starting.__aenter__()
        assert "What I can do" in (await Person(first.account(7)).says("/help")).text
    async with serve_internet(InternetOptions(token=TOKEN, users=0, port=port)) as second:
        assert not task.done()
        assert "Hello Ada" in (await Person(second.account(7)).says("/start")).text
        await starting.__aexit__(None, None, None)
