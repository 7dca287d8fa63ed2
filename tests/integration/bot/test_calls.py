"""Calls to Telegram are repeated where that is right, and nothing is said twice."""

import asyncio

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramNetworkError, TelegramRetryAfter, TelegramServerError

from midas.bot.persistence import Persistence
from midas.demo.internet import Failure, InternetOptions, serve_internet

TOKEN = "123456:abcdefghijklmnopqrstuvwxyz"
BROKEN = Failure(500, "Internal Server Error")


@pytest.fixture
async def internet():
    async with serve_internet(InternetOptions(token=TOKEN, users=0)) as running:
        running.account(7)
        yield running


@pytest.fixture
def pauses():
    return []


@pytest.fixture
async def bot(internet, pauses):
    async def pause(seconds):
        pauses.append(seconds)

    session = AiohttpSession(api=TelegramAPIServer.from_base(internet.url))
    session.middleware(Persistence(sleep=pause))
    async with Bot(TOKEN, session=session) as client:
        yield client


async def _seen(account):
    texts = []
    while not account.chat.inbox.empty():
        texts.append(account.chat.inbox.get_nowait().text)
    return texts


async def test_a_server_error_is_tried_again(internet, bot, pauses):
    """Two errors in a row are invisible to the person: the third attempt says it, once, after short pauses."""
    internet.faults.fail_next("sendMessage", BROKEN, times=2)
    await bot.send_message(7, "hello")
    assert await _seen(internet.account(7)) == ["hello"]
    assert len(pauses) == 2
    assert sum(pauses) <= 0.4


async def test_a_server_that_stays_broken_is_an_error(internet, bot, pauses):
    """After three attempts the error reaches the caller."""
    internet.faults.fail_next("sendMessage", BROKEN, times=3)
    with pytest.raises(TelegramServerError):
        await bot.send_message(7, "hello")
    assert len(pauses) == 2
    assert await _seen(internet.account(7)) == []


async def test_the_time_that_telegram_asks_for_is_waited(internet, bot, pauses):
    """A 429 is followed by exactly the pause it names."""
    internet.faults.fail_next("sendMessage", Failure(429, "Too Many Requests: retry after 7", 7))
    await bot.send_message(7, "hello")
    assert pauses == [7.0]
    assert await _seen(internet.account(7)) == ["hello"]


async def test_an_hour_of_punishment_is_not_waited(internet, bot, pauses):
    """When Telegram asks for more than a minute, the caller learns it at once."""
    internet.faults.fail_next("sendMessage", Failure(429, "Too Many Requests: retry after 3600", 3600))
    with pytest.raises(TelegramRetryAfter):
        await bot.send_message(7, "hello")
    assert pauses == []


async def test_polling_waits_as_long_as_it_is_told(internet, bot, pauses):
    """A poll that is told to wait again and again waits each time and then goes on."""
    internet.faults.fail_next("getUpdates", Failure(429, "Too Many Requests: retry after 2", 2), times=5)
    assert await bot.get_updates() == []
    assert pauses == [2.0] * 5


async def test_an_unreachable_server_is_tried_again_and_a_lost_answer_is_not(pauses):
    """No connection means that nothing was said, so it is repeated; an answer that does not come may have been lost."""
    attempts = []

    async def swallow(reader, writer):
        attempts.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def pause(seconds):
        pauses.append(seconds)

    session = AiohttpSession(api=TelegramAPIServer.from_base(f"http://127.0.0.1:{port}"))
    session.middleware(Persistence(sleep=pause))
    async with Bot(TOKEN, session=session) as client:
        with pytest.raises(TelegramNetworkError):
            await client.send_message(7, "hello")
        assert (len(attempts), pauses) == (1, [])
        server.close()
        await server.wait_closed()
        with pytest.raises(TelegramNetworkError):
            await client.send_message(7, "hello")
        assert len(pauses) == 2
