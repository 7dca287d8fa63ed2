"""The people are the same in every run: habits, statements, and what they do with what the bot shows them."""

import asyncio
import random
from datetime import date

import pytest

from midas.demo.internet.accounts import Account
from midas.demo.internet.answers import AnswerBook
from midas.demo.internet.dialects import DIALECTS
from midas.demo.internet.entries import draw_entries
from midas.demo.internet.exchange import Exchange, Incoming
from midas.demo.internet.faults import Faults
from midas.demo.internet.pace import Pace
from midas.demo.internet.people import make_person
from midas.demo.internet.population import Population
from midas.demo.internet.shops import KNOWN_SHOPS, OBSCURE_SHOPS, TELLING_SHOPS, true_category
from midas.demo.internet.statements import break_statement, next_statement
from midas.demo.internet.visits import Visit

TODAY = date(2026, 11, 20)
ME = {"id": 1, "is_bot": True, "first_name": "Bot"}
QUESTION = {
    "inline_keyboard": [
        [{"text": "✅ Groceries", "callback_data": "yes"}],
        [{"text": "Another category", "callback_data": "other"}],
    ]
}
CHOICE = {
    "inline_keyboard": [
        [
            {"text": name, "callback_data": name}
            for name in ("Shopping", "Restaurants", "Health", "Transport")
        ],
        [
            {"text": "Entertainment", "callback_data": "Entertainment"},
            {"text": "Education", "callback_data": "Education"},
        ],
    ]
}


class ScriptedBot:
    """Answers at once and always the same way; writes down what it was sent."""

    def __init__(self, exchange):
        self._exchange = exchange
        self._offset = 0
        self.heard = []
        self.script = {}

    async def run(self):
        while True:
            for update in await self._exchange.mailbox.poll(self._offset, 100, 60, None):
                self._offset = update["update_id"] + 1
                self._answer(update)

    def _answer(self, update):
        callback = update.get("callback_query")
        message = callback["message"] if callback else update["message"]
        chat = self._exchange.chat(message["chat"]["id"])
        if callback:
            self.heard.append((chat.id, "press", callback["data"]))
            self._say(
                chat,
                *(("What was it?", CHOICE) if callback["data"] == "other" else ("Filed.", None)),
                kind="edit",
            )
        elif "document" in message:
            self.heard.append(
                (chat.id, "file", message["document"]["file_name"], message["document"]["file_size"])
            )
            self._say(chat, "Got it.")
            self._say(chat, "Finished, see /pending")
        else:
            self.heard.append((chat.id, "text", message["text"]))
            name = OBSCURE_SHOPS[chat.id % 100].name
            if message["text"] in self.script:
                self._say(chat, self.script[message["text"]])
                return
            self._say(chat, f"#12 {name}: Groceries?", QUESTION if "pending" in message["text"] else None)
            self._say(chat, "Here is more.")

    def _say(self, chat, text, keyboard=None, kind="message"):
        content = {"text": text} | ({"reply_markup": keyboard} if keyboard else {})
        chat.show(Incoming(kind, text, chat.add(ME, content)))


async def _at_once(_):
    await asyncio.sleep(0)


async def _transcript(seed, people=25, visits=2):
    exchange = Exchange(ME, AnswerBook())
    bot = ScriptedBot(exchange)
    running = asyncio.create_task(bot.run())

    try:
        for number in range(people):
            person = make_person(seed, number, DIALECTS)
            account = Account(exchange, person.user_id, person.first_name)
            for _ in range(visits):
                await Visit(person, account, Pace(1.0, _at_once), Faults(), TODAY).run()
    finally:
        running.cancel()
    return bot.heard


async def test_the_same_seed_gives_the_same_conversations():
    """Against a bot that always answers the same, two runs send exactly the same texts, files and presses."""
    first = await _transcript(11)
    assert first == await _transcript(11)
    assert first != await _transcript(12)
    kinds = {entry[1] for entry in first}
    assert kinds == {"press", "text", "file"}


async def test_people_follow_their_plan_and_make_mistakes():
    """Everybody begins with /start, most send a statement and look at /pending; some words are mistyped."""
    heard = await _transcript(11, visits=1)
    texts = [entry[2] for entry in heard if entry[1] == "text"]
    assert sum(text == "/start" for text in texts) >= 20
    assert any(text.startswith("/pend") for text in texts)
    known = {
        "/start",
        "/help",
        "/balance",
        "/import",
        "/pending",
        "/report",
        "/categorize",
        "/confirm",
        "/correct",
    }
    assert any(text.split()[0] not in known for text in texts)
    assert sum(entry[1] == "file" for entry in heard) >= 20


async def test_a_wrong_guess_is_corrected_to_what_the_shop_really_is():
    """Who decides presses the way to other categories and then the true one; nobody confirms a wrong guess."""
    heard = await _transcript(11, people=60, visits=1)
    presses = [(entry[0], entry[2]) for entry in heard if entry[1] == "press"]
    assert presses
    for user_id, data in presses:
        truth = OBSCURE_SHOPS[user_id % 100].category
        assert data in ({"yes"} if truth == "Groceries" else {"other", truth})


async def test_savers_move_money_between_the_cards_that_the_bot_lists():
    """They name the cards by the ends of their numbers, the fullest first, and mostly want less than it holds."""
    exchange = Exchange(ME, AnswerBook())
    bot = ScriptedBot(exchange)
    cards = "Your cards\n•4021: 1,000.00 EUR\nUSD: 5,000.00 USD\n•7788: -3.20 EUR\n•1111: 9.00 USD"
    bot.script = {"/transfer": cards}
    running = asyncio.create_task(bot.run())
    savers = [
        person
        for person in (make_person(11, number, DIALECTS) for number in range(60))
        if person.savings and not person.typo_ratio > 0.05
    ]
    try:
        for person in savers:
            account = Account(exchange, person.user_id, person.first_name)
            await Visit(person, account, Pace(1.0, _at_once), Faults(), TODAY).run()
    finally:
        running.cancel()
    texts = [entry[2] for entry in bot.heard if entry[1] == "text"]
    wishes = [text.split() for text in texts if text.startswith("/transfer ")]
    assert len(wishes) >= 10
    assert {(source, target) for _, _, source, target in wishes} == {("USD", "1111")}
    amounts = [float(wish[1]) for wish in wishes]
    assert sum(amount < 5000 for amount in amounts) > len(amounts) / 2


def test_about_two_in_five_have_a_second_account():
    """Drawn apart from everything else, with valid check digits, and never the first account again."""
    people = [make_person(3, number, DIALECTS) for number in range(500)]
    savers = [person for person in people if person.savings]
    assert 0.33 < len(savers) / 500 < 0.47
    assert all(int(f"{p.savings[4:]}1314{p.savings[2:4]}") % 97 == 1 for p in savers)
    assert all(person.savings != person.account for person in savers)


def test_habits_come_from_the_seed_and_differ():
    """The same number is the same person; over a thousand people the shares are the stated ones."""
    people = [make_person(3, number, DIALECTS) for number in range(1000)]
    again = make_person(3, 17, DIALECTS)
    assert (again.first_name, again.patience_seconds, again.dialect, again.account) == (
        people[17].first_name, people[17].patience_seconds, people[17].dialect, people[17].account,
    )  # fmt: skip
    assert 0.11 < sum(not person.decides for person in people) / 1000 < 0.19
    assert {person.dialect for person in people} == set(DIALECTS)
    assert all(1.5 <= person.patience_seconds <= 12 for person in people)


def test_accounts_are_ibans_with_valid_check_digits():
    """Every account passes the mod-97 check of ISO 13616, as real ones do."""
    for number in range(50):
        account = make_person(3, number, DIALECTS).account
        assert len(account) == 22
        assert int(f"{account[4:]}1314{account[2:4]}") % 97 == 1


def test_a_mistyped_command_is_near_the_right_one():
    """A typo changes one place and never the slash; commands of somebody without typos stay as they are."""
    person = make_person(3, 1, DIALECTS)
    person.typo_ratio = 1.0
    for _ in range(200):
        typed = person.mistype("/balance")
        assert typed.startswith("/")
        assert abs(len(typed) - len("/balance")) <= 1
    person.typo_ratio = 0.0
    assert person.mistype("/correct 12 Groceries") == "/correct 12 Groceries"


def test_a_statement_repeats_the_end_of_the_one_before():
    """The next statement of the same account contains the last entries again, byte for byte."""
    person = make_person(3, 1, DIALECTS)
    person.dialect = "plain"
    lines = [set(next_statement(person, TODAY, obscure=False)[1].decode().splitlines()[1:]) for _ in range(3)]
    assert len(lines[0] & lines[1]) >= 2
    assert len(lines[1] & lines[2]) >= 2


def test_the_usual_mixture_is_mostly_known():
    """About four entries in five are of shops that everybody knows; every entry's truth is known to its customer."""
    entries = draw_entries(random.Random(1), 4000, TODAY, obscure=False)
    names = [entry.counterparty for entry in entries]
    known = sum(any(shop.name in name for shop in KNOWN_SHOPS) for name in names) / 4000
    telling = sum(any(shop.name in name for shop in TELLING_SHOPS) for name in names) / 4000
    obscure = sum(any(shop.name in name for shop in OBSCURE_SHOPS) for name in names) / 4000
    assert 0.70 < known < 0.80
    assert 0.10 < telling < 0.14
    assert 0.06 < obscure < 0.10
    assert all(true_category(name) for name in names)


def test_low_confidence_statements_name_obscure_shops_only():
    """Under the fault not one entry is of a shop that anybody could know."""
    entries = draw_entries(random.Random(1), 500, TODAY, obscure=True)
    assert all(any(shop.name in entry.counterparty for shop in OBSCURE_SHOPS) for entry in entries)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_broken_statement_is_really_different(dialect):
    """Breaking a file tears one line or cuts the end, whatever the dialect."""
    person = make_person(3, 1, DIALECTS)
    person.dialect = dialect
    _, data = next_statement(person, TODAY, obscure=False)
    assert len(break_statement(data, random.Random(1))) < len(data)


def test_the_same_people_come_in_the_same_order():
    """Who arrives next depends on the seed alone; newcomers are about one in eight and never come twice at once."""

    def order(seed):
        population = Population(Exchange(ME, AnswerBook()), Faults(), seed, users=40)
        return [population.next_person().user_id for _ in range(400)], population.users

    ids, users = order(5)
    assert (ids, users) == order(5)
    assert ids != order(6)[0]
    assert 0.07 < (users - 40) / 400 < 0.18
