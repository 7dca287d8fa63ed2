"""What the bot understands and says: near misses, sentences, amounts, and text from strangers."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas.bot import news, texts
from midas.bot.apologies import QUEUE_AWAY, STORE_AWAY, TOO_SLOW, UNEXPECTED, apology
from midas.bot.commands import COMMANDS, closest_command, command_in
from midas.bot.prompt import TooSlow, promptly
from midas.confirmations import Confirmation
from midas.demo.internet.markup import parse_html
from midas.domain import Money, Transaction
from midas.errors import QueueUnavailable, StoreUnavailable, UnknownCategory
from midas.store.reports import Spending

NOW = datetime(2026, 11, 12, tzinfo=UTC)


def _confirmation(description, **changes):
    fields = {
        "id": "abcdefghijkl", "user_id": 7, "transaction_id": 4711, "predicted": "Groceries", "confidence": 0.624,
        "description": description, "created_at": NOW, "expires_at": NOW,
    }  # fmt: skip
    return Confirmation(**{**fields, **changes})


def _transaction(description):
    return Transaction(4711, 7, NOW, Decimal("-1234.5"), "EUR", description, "X", None, None, "pending")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/balnce", "balance"), ("/pendin", "pending"), ("/raport", "report"), ("/improt", "import"),
        ("/satrt", "start"), ("/catagorise", "categorize"), ("/Confrim", "confirm"), ("/corect", "correct"),
        ("/balance@midas_bot", "balance"),
    ],
)  # fmt: skip
def test_a_typo_finds_its_command(typed, meant):
    """The command with one or two wrong letters is suggested."""
    assert closest_command(typed) == meant


@pytest.mark.parametrize("typed", ["/xyzzy", "/weather", "/", "/42"])
def test_nonsense_finds_no_command(typed):
    """What resembles nothing gets no wrong suggestion."""
    assert closest_command(typed) is None


def test_a_command_is_heard_in_a_sentence():
    """A sentence that names a command leads to it, any other does not."""
    assert command_in("What is my balance, please?") == "balance"
    assert command_in("show me the reports") == "report"
    assert command_in("good morning to you") is None


def test_help_names_every_command():
    """The help lists each command, in markup that Telegram takes."""
    text, _ = parse_html(texts.help_text())
    assert all(f"/{command.name}" in text for command in COMMANDS)


@given(st.text(min_size=1, max_size=300))
def test_strangers_text_never_breaks_the_markup(stranger):
    """Whatever a bank, a name or a file says, the message stays valid HTML and keeps the words."""
    for source in (
        texts.welcome(stranger),
        texts.question_text(_confirmation(stranger), _transaction(stranger), 2),
        texts.question_text(_confirmation(stranger), None, 1),
        texts.decided_text(_transaction(stranger)),
    ):
        text, _ = parse_html(source)
        assert len(text) < 4096
    assert " ".join(stranger.split())[:60] in parse_html(texts.decided_text(_transaction(stranger)))[0]


def test_a_question_says_what_how_much_when_and_how_sure():
    """The question carries description, date, amount, number, guess and confidence."""
    text, _ = parse_html(texts.question_text(_confirmation("H&M <1234>"), _transaction("H&M"), 3))
    assert text == (
        "3 payments wait for your word.\n\nH&M <1234>\n12 Nov 2026 · -1,234.50 EUR · #4711\n\n"
        "I think this is Groceries (62 % sure). Is that right?"
    )


def test_amounts_are_formatted_and_shares_add_up():
    """A report shows the total, each category with its share, and the number of payments."""
    spending = [Spending("Groceries", Decimal(750), 12), Spending("Health", Decimal("250.5"), 1)]
    text, _ = parse_html(texts.spending_text(spending, "EUR", 30))
    assert text.splitlines() == [
        "1,000.50 EUR in 30 days, 13 payments:",
        "▰▰▰▰▰▰▱▱ Groceries: 750.00 EUR (75%)",
        "▰▰▱▱▱▱▱▱ Health: 250.50 EUR (25%)",
    ]
    assert "1,200.00 JPY" not in texts.balance_text([Money(Decimal(1200), "JPY")])
    assert "1,200 JPY" in texts.balance_text([Money(Decimal(1200), "JPY")])


def test_each_failure_has_its_words():
    """Redis, PostgreSQL, slowness, a known error and an unknown one read differently, and none shows internals."""
    assert apology(StoreUnavailable("host:1/db", "refused")) == STORE_AWAY
    assert apology(QueueUnavailable("host:1", "refused")) == QUEUE_AWAY
    assert apology(TooSlow(0.7)) == TOO_SLOW
    assert (
        apology(UnknownCategory("Foood", "Groceries"))
        == "There is no category 'Foood'; did you mean Groceries?"
    )
    assert apology(RuntimeError("secret detail")) == UNEXPECTED


async def test_a_person_waits_for_no_backend():
    """Work that takes too long is given up as too slow; an inner timeout keeps its own name."""
    with pytest.raises(TooSlow):
        await promptly(asyncio.Event().wait(), 0.01)

    async def inner():
        raise TimeoutError("inner")

    with pytest.raises(TimeoutError, match="inner"):
        await promptly(inner())


def test_news_of_a_categorization_count_correctly():
    """Filed, waiting and undecided payments add up, in singular and plural."""
    assert news.categorization_text(12, 3, 0) == (
        "🗂 Categorization of 12 payments finished: 9 filed.\n3 payments wait for you: /pending"
    )
    assert news.categorization_text(2, 1, 1) == (
        "🗂 Categorization of 2 payments finished: 0 filed.\n1 payment waits for you: /pending\n"
        "1 payment could not be sorted this time: /categorize tries again."
    )


def test_news_of_analyses_are_short_and_escaped():
    """The largest categories, budgets and oddities are told in a few lines; nothing found is told, too."""
    found = news.Analysis(
        "EUR", Decimal(900), Decimal(1000),
        [news.Category(name, 3, Decimal("12.5"), trend) for name, trend in (
            ("Groceries", Decimal("2.5")), ("Health", Decimal(-1)), ("Travel", None), ("Fees", None))],
    )  # fmt: skip
    assert parse_html(news.analysis_text(found))[0].splitlines() == [
        "📊 A closer look",
        "Groceries: 3 payments, usually 12.50 EUR each, 2.50 EUR more every week.",
        "Health: 3 payments, usually 12.50 EUR each, 1.00 EUR less every week.",
        "Travel: 3 payments, usually 12.50 EUR each.",
        "You received 1,000.00 EUR: 100.00 EUR were left over.",
    ]
    budget = news.Budget("Groceries", "EUR", Decimal(300), Decimal(280), 3)
    assert parse_html(news.budget_text([budget]))[0].splitlines() == [
        "💡 A month could look like this, going by 3 months:",
        "Groceries: 300.00 EUR (usually 280.00 EUR)",
    ]
    oddities = [news.Oddity(f"H&M <{number}>") for number in range(7)]
    lines = parse_html(news.anomalies_text(oddities))[0].splitlines()
    assert lines[1] == "• H&M <0>."
    assert lines[-1] == "… and 2 more"
    assert news.budget_text([]) == news.NO_BUDGET
    assert news.anomalies_text([]) == news.NOTHING_UNUSUAL


async def test_work_that_does_not_let_go_is_not_waited_for():
    """Even work that takes long to stop, like a connection to a server that hangs, is left behind in time."""
    released, stopped = asyncio.Event(), asyncio.Event()

    async def clinging():
        try:
            await asyncio.Event().wait()
        finally:
            await released.wait()
            stopped.set()

    with pytest.raises(TooSlow):
        await promptly(clinging(), 0.01)
    assert not stopped.is_set()
    released.set()
    async with asyncio.timeout(60):
        await stopped.wait()


async def test_a_cancelled_wait_cancels_its_work():
    """When the handler itself is cancelled, what it waited for is, too."""
    stopped = asyncio.Event()

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    waiting = asyncio.create_task(promptly(work(), 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(60):
        await stopped.wait()
