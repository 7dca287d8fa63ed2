"""The bot together with real workers and a language model behind OpenAI's protocol: the whole loop."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from midas.demo.internet.dialects import DIALECTS
from midas.demo.internet.people import make_person
from midas.demo.internet.statements import next_statement
from midas.worker import run_worker

from .conftest import DEADLINE_SECONDS, metric
from .test_statements import STATEMENT

HISTORY = "Date,Description,Amount,Currency\n" + "".join(
    f"2026-{month:02d}-{day:02d},LIDL 1234 BERLIN,{-amount:.2f},EUR\n"
    for month in (8, 9, 10)
    for day, amount in ((1, 20 + month), (8, 21), (15, 19), (22, 22))
)


@asynccontextmanager
async def working(settings):
    """Run a worker within the block; what it is thinking about at the end goes back in line."""
    ready, stop = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(
        run_worker(settings, worker_id="test", metrics_port=0, ready=ready, stop=stop, drain_seconds=0.1)
    )
    async with asyncio.timeout(DEADLINE_SECONDS):
        await ready.wait()
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await task


async def test_a_statement_comes_back_sorted(bot, person, settings):
    """Known merchants are filed, the meaningless one becomes a question, and one press answers it."""
    async with working(settings):
        assert "3 of them new" in (await person.hands_over("november.csv", STATEMENT)).text
        seen = await person.sees("message")
        assert (
            seen.text
            == "🗂 Categorization of 3 payments finished: 2 filed.\n1 payment waits for you: /pending"
        )
        question = await person.says("/pending")
        assert "QUVEX TROMBAL 0231" in question.text
        person.presses(question, "Another category")
        person.presses(await person.sees("edit"), "Shopping")
        assert (await person.sees("toast")).text == "Filed under Shopping."


async def test_answers_do_not_wait_for_a_slow_ai(bot, person, settings, internet, monkeypatch):
    """While the language model thinks about a statement, every command is answered, and its thought is not over."""
    monkeypatch.setattr("midas.demo.internet.model.SLOW_SECONDS", 24.0)  # a second less than it is waited for
    internet.faults.switch("slow-ai", on=True)
    async with working(settings):
        assert "3 of them new" in (await person.hands_over("november.csv", STATEMENT)).text
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not internet.model.stats()["thinking"]:
                await asyncio.sleep(0.01)
        for command, words in {
            "/balance": "-62.29 EUR",
            "/pending": "Nothing waits",
            "/categorize": "I am sorting 1 payment",
            "/help": "What I can do",
            "/report 3660": "62.29 EUR in 3660 days",
        }.items():
            assert words in (await person.says(command)).text
        assert internet.model.stats()["thinking"]


async def test_an_analysis_follows_the_report(bot, person, settings):
    """The report comes first; its analysis, a budget and the search for unusual payments come as messages."""
    async with working(settings):
        await person.hands_over("history.csv", HISTORY.encode())
        assert "12 filed" in (await person.sees("message")).text
        report = await person.says("/report 3000")
        assert "Groceries" in report.text
        seen = await person.sees("message")
        assert seen.text.startswith("📊 A closer look\nGroceries: 12 payments, usually ")
        person.presses(report, "budget")
        assert (await person.sees("toast")).text == "I am working it out: one moment."
        assert (await person.sees("message")).text.startswith(
            ("💡 A month could look like this", "💡 I need two")
        )
        person.presses(report, "Unusual")
        assert (await person.sees("message")).text.startswith("🔎")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_dialect_of_the_population_is_understood(bot, person, settings, dialect, today):
    """Statements of each bank in the small world are imported and sorted without a task that fails."""
    somebody = make_person(3, 5, DIALECTS)
    somebody.dialect = dialect
    name, data = next_statement(somebody, today, obscure=False)
    async with working(settings):
        assert "of them new" in (await person.hands_over(name, data)).text
        assert "finished" in (await person.sees("message")).text
    assert await metric(settings, "bot_errors_total") == 0
