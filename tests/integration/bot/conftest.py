"""The real bot in this process, against real Redis and PostgreSQL and the local internet."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from midas.bot import run_bot
from midas.demo.internet import InternetOptions, serve_internet
from midas.settings import Settings

TOKEN = "123456:abcdefghijklmnopqrstuvwxyz"
API_KEY = "sk-local-model"
DEADLINE_SECONDS = 20.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def internet():
    async with serve_internet(InternetOptions(token=TOKEN, users=0, api_key=API_KEY)) as running:
        yield running


@pytest.fixture
def settings(postgres_url, redis_url, internet, tmp_path):
    return Settings(
        database_url=postgres_url,
        redis_url=redis_url,
        telegram_token=TOKEN,
        telegram_api_url=internet.url,
        deepseek_api_key=API_KEY,
        llm_base_url=f"{internet.url}/v1",
        bot_metrics_port=_free_port(),
        log_output=str(tmp_path / "bot.jsonl"),
    )


@asynccontextmanager
async def running_bot(settings):
    """Run the bot within the block; leaving it stops the bot gracefully."""
    ready, stop = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(run_bot(settings, ready, stop))
    waiting = asyncio.create_task(ready.wait())
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        await task
    try:
        yield task
    finally:
        stop.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await task


@pytest.fixture
async def bot(settings):
    async with running_bot(settings) as task:
        yield task


class Person:
    """Somebody with a telephone, played by a test."""

    def __init__(self, account):
        self.account = account

    async def sees(self, kind=None):
        """Return the next thing on the screen, of the given kind if one is given."""
        while True:
            seen = await self.account.look(DEADLINE_SECONDS)
            assert seen is not None, "nothing came"
            if kind is None or seen.kind == kind:
                return seen

    async def says(self, text):
        """Send a text and return the bot's next message."""
        self.account.look_away()
        self.account.write(text)
        return await self.sees("message")

    async def hands_over(self, name, data):
        """Send a file and return the bot's next message."""
        self.account.look_away()
        self.account.send_document(name, data)
        return await self.sees("message")

    def presses(self, seen, caption):
        """Press the button whose caption contains the words."""
        self.account.press(seen, next(data for text, data in seen.buttons if caption in text))


@pytest.fixture
def person(internet):
    return Person(internet.account(7, "Ada"))


@pytest.fixture
def other_settings(settings):
    """Settings of a second bot process: the same but for its port."""
    return replace(settings, bot_metrics_port=_free_port())
