"""The real bot in this process, against real Redis and PostgreSQL and the local internet."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from midas.ai import Categorizer
from midas.bot import run_bot
from midas.bot.prompt import PROMPT_SECONDS
from midas.bot.routers.money import QUEUE_SECONDS
from midas.bot.routers.statements import READING_SECONDS
from midas.bot.routers.transfers import MOVING_SECONDS
from midas.confirmations import ConfirmationService
from midas.demo.internet import InternetOptions, serve_internet
from midas.demo.ports import free_port
from midas.queue import AITaskQueue
from midas.redis import connect
from midas.settings import Settings
from midas.store import open_store
from midas.sync import SyncService

from .relay import relay

TOKEN = "123456:abcdefghijklmnopqrstuvwxyz"
API_KEY = "sk-local-model"
DEADLINE_SECONDS = 180.0  # of conditions that hold within a second on a machine that has nothing else to do


_WAITS = {
    "midas.bot.prompt.PROMPT_SECONDS": PROMPT_SECONDS,
    "midas.bot.routers.statements.READING_SECONDS": READING_SECONDS,
    "midas.bot.routers.money.QUEUE_SECONDS": QUEUE_SECONDS,
    "midas.bot.routers.transfers.MOVING_SECONDS": MOVING_SECONDS,
}


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """Let tests on a busy machine see what is true and not what is quick."""
    for name in _WAITS:
        monkeypatch.setattr(name, DEADLINE_SECONDS)


@pytest.fixture
def hurry(monkeypatch):
    """Give a block in which handlers wait no longer than they do in production."""

    @contextmanager
    def block():
        with monkeypatch.context() as patch:
            for name, seconds in _WAITS.items():
                patch.setattr(name, seconds)
            yield

    return block


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
        bot_metrics_port=free_port(),
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
async def redis_cable(redis_url):
    """What the bot reaches Redis through in the tests that use it."""
    parts = urlsplit(redis_url)
    async with relay(parts.hostname, parts.port) as cable:
        yield cable


@pytest.fixture
async def postgres_cable(postgres_url):
    """What the bot reaches PostgreSQL through in the tests that use it."""
    parts = urlsplit(postgres_url)
    async with relay(parts.hostname, parts.port) as cable:
        yield cable


def through(url, cable):
    """Return the same address with the cable's port."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(str(parts.port), str(cable.port))))


@pytest.fixture
async def without_redis(settings, redis_url, redis_cable):
    """A bot whose Redis can be taken away."""
    chosen = replace(settings, redis_url=through(redis_url, redis_cable))
    async with running_bot(chosen) as task:
        yield task


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
    return replace(settings, bot_metrics_port=free_port())


class Workshop:
    """The worker's part, done by the test when it chooses to: until then the AI is as slow as can be."""

    def __init__(self, store, queue, confirmations):
        self.store = store
        self.queue = queue
        self.confirmations = confirmations
        self._sync = SyncService(store, queue, Categorizer(store.merchants), confirmations)

    async def work_off(self):
        """Run every categorization that waits, and return how many."""
        done = 0
        while (task := await self.queue.dequeue_task("test")) is not None:
            assert task.type == "categorize_transaction"
            payload = task.payload
            applied = await self._sync.categorize(
                payload["user_id"],
                payload["transaction_id"],
                payload["description"],
                Decimal(payload["amount"]),
            )
            await self.queue.store_result(task, {"status": applied.transaction.status})
            done += 1
        return done

    async def has_tasks(self, number):
        """Wait until so many tasks are in line."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await self.queue.get_queue_size() != number:
                await asyncio.sleep(0.01)


@pytest.fixture
async def workshop(postgres_url, redis_url):
    async with (
        open_store(postgres_url) as store,
        connect(redis_url) as redis,
        AITaskQueue(redis) as queue,
    ):
        yield Workshop(store, queue, ConfirmationService(redis))


async def metric(settings, name, **labels):
    """Return the value of one series of the running bot."""
    url = f"http://127.0.0.1:{settings.bot_metrics_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        text = await response.text()
    values = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(values)


@pytest.fixture
def today():
    """The last day that statements of the population cover."""
    return datetime.now(UTC).date()
