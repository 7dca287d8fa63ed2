"""Notices: what somebody else finished reaches its person, once, however often Telegram has to be asked."""

import asyncio

import pytest

from midas.demo.internet import Failure
from midas.queue import TaskQueue
from midas.sync.notices import TELL_IMPORTED, notices_config

from .conftest import DEADLINE_SECONDS, metric, running_bot
from .test_statements import STATEMENT

NOTICE = {
    "user_id": 7,
    "chat_id": 7,
    "name": "november.csv",
    "source": "csv",
    "found": 3,
    "new": 0,
    "queued": 0,
    "transaction_ids": [],
}
TEXT = "📥 november.csv: 3 payments, 0 of them new."


@pytest.fixture
async def notices(redis_url):
    async with TaskQueue(notices_config(redis_url)) as queue:
        yield queue


async def idle(notices):
    """Wait until nothing is left to be told."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (now := await notices.statistics()).completed < now.added or now.in_flight:
            await asyncio.sleep(0.01)
    return now


async def test_a_notice_of_another_process_is_told(bot, person, notices):
    """Whatever process puts it into the queue, the bot sends it."""
    await notices.add_task(TELL_IMPORTED, NOTICE)
    assert (await person.sees("message")).text == TEXT


async def test_an_import_that_was_taken_back_is_told(bot, person, notices):
    """Also where the process that had promised an answer is dead."""
    await notices.add_task(TELL_IMPORTED, NOTICE | {"done": False})
    assert "I could not import november.csv after all" in (await person.sees("message")).text


async def test_a_notice_waits_for_the_bot(settings, person, notices):
    """What is put in while no bot runs is told by the next one."""
    await notices.add_task(TELL_IMPORTED, NOTICE)
    async with running_bot(settings):
        assert (await person.sees("message")).text == TEXT


@pytest.mark.parametrize(
    "failure",
    [Failure(500, "Internal Server Error"), Failure(429, "Too Many Requests: retry after 30", 30)],
    ids=["500", "429"],
)
async def test_a_messenger_that_refuses_is_asked_again_by_the_queue(bot, person, internet, notices, failure):
    """More refusals than one call bears, or a pause: the task waits in the queue for its time, and is told once."""
    internet.faults.fail_next("sendMessage", failure, times=4 if failure.status == 500 else 1)
    await notices.add_task(TELL_IMPORTED, NOTICE)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (now := await notices.statistics()).retried:
            await asyncio.sleep(0.01)
    if failure.retry_after:
        assert 10 < now.next_due_seconds <= 30
        return
    assert (await person.sees("message")).text == TEXT
    assert (await idle(notices)).retried >= 1
    assert person.account.chat.inbox.empty()


async def test_a_task_that_comes_back_is_not_said_again(settings, bot, person, notices, redis):
    """A bot that died between telling and saying so leaves a task; who takes it up says nothing."""
    await redis.set("bot:told:n1", b"")
    await notices.add_task(TELL_IMPORTED, NOTICE, task_id="n1")
    await notices.add_task(TELL_IMPORTED, NOTICE | {"found": 4}, task_id="n2")
    assert "4 payments" in (await person.sees("message")).text
    assert (await idle(notices)).completed == 2
    assert await redis.exists("bot:told:n2")
    assert await notices.get_result("n1") == {"told": True}


async def test_a_chat_that_is_gone_ends_the_notice(bot, internet, notices):
    """Nobody will ever get it, so it is done, and no dead letter."""
    internet.faults.fail_next("sendMessage", Failure(403, "Forbidden: bot was blocked by the user"))
    task_id = await notices.add_task(TELL_IMPORTED, NOTICE)
    assert await notices.get_result(task_id, timeout=DEADLINE_SECONDS) == {"told": False}
    assert (await notices.statistics()).dead == 0


async def test_an_import_is_told_by_its_saga(bot, person, workshop, notices, settings):
    """The answer to a file is its saga's notice: the saga is done, and its metrics are the bot's."""
    assert "3 of them new" in (await person.hands_over("november.csv", STATEMENT)).text
    assert (await idle(notices)).added == 1
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await metric(settings, "saga_finished_total", saga="statement-import", outcome="completed"):
            await asyncio.sleep(0.01)
    assert await metric(settings, "saga_steps_total", saga="statement-import", outcome="ok") == 5
    assert await metric(settings, "queue_tasks_enqueued_total", queue="notices") == 1
