"""The people of the demonstration use the real bot: the loop closes, and the faults of people and messenger show."""

import asyncio
from dataclasses import replace

import aiohttp
import pytest

from midas.demo.internet import InternetOptions, serve_internet

from .conftest import API_KEY, DEADLINE_SECONDS, TOKEN, metric, running_bot
from .test_with_worker import working


@pytest.fixture
async def busy(settings):
    """A small world in which people live three times as fast, with a bot and a worker."""
    options = InternetOptions(token=TOKEN, users=20, seed=4, speed=3.0, api_key=API_KEY)
    async with serve_internet(options) as internet:
        chosen = replace(settings, telegram_api_url=internet.url, llm_base_url=f"{internet.url}/v1")
        async with working(chosen), running_bot(chosen):
            yield internet


async def _until(condition):
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_people_import_ask_decide_and_report(busy, settings):
    """Within the first visits every kind of command was handled, questions were decided, and no command failed."""

    async def lively():
        counts = [
            await metric(settings, "bot_requests_total", command=command, outcome="ok")
            for command in ("start", "import", "transfer", "pending", "report", "correct")
        ]
        return all(counts)

    await _until(lively)
    assert busy.population.visits_begun > 1
    assert busy.book.summary()["answers"]["count"] > 5
    assert await metric(settings, "bot_errors_total") == 0
    assert busy.model.stats()["asked"] > 0


async def test_silence_empties_the_place_and_its_end_fills_it_again(busy, settings):
    """Under the fault nobody comes and everybody goes; afterwards people come again."""

    async def visited():
        return busy.population.visits_begun > 0 and busy.population.visiting > 0

    await _until(visited)
    async with aiohttp.ClientSession() as session:
        await session.post(f"{busy.url}/control/fault", json={"name": "silence", "on": True})

        async def empty():
            return busy.population.visiting == 0

        await _until(empty)
        begun = busy.population.visits_begun
        before = busy.population.arrivals

        async def skipped():
            return busy.population.arrivals > before + 3

        await _until(skipped)
        assert busy.population.visits_begun == begun
        await session.post(f"{busy.url}/control/fault", json={"name": "silence", "on": False})

    async def more():
        return busy.population.visits_begun > begun

    await _until(more)


async def test_bot_errors_make_commands_fail(busy, settings):
    """Under the fault errors of commands are counted, and the bot goes on handling."""
    busy.faults.switch("bot-errors", on=True)

    async def failed():
        return await metric(settings, "bot_errors_total", error_type="TelegramServerError") >= 3

    await _until(failed)
    busy.faults.switch("bot-errors", on=False)
    handled = await metric(settings, "bot_requests_total", outcome="ok")

    async def handles():
        return await metric(settings, "bot_requests_total", outcome="ok") > handled

    await _until(handles)


async def test_low_confidence_makes_questions_of_payments(busy, settings):
    """Under the fault statements name shops that nobody knows, and more than half of them are put to the user."""
    busy.faults.switch("low-confidence", on=True)

    async def asked():
        return await metric(settings, "confirmations_pending") >= 10

    await _until(asked)
