"""Each command, played by a person against the real bot: what they say and what they see."""

from midas.bot.routers.money import MOST_DAYS


async def test_start_greets_by_name(bot, person):
    """The greeting uses the person's name and says how to begin."""
    seen = await person.says("/start")
    assert seen.text.startswith("Hello Ada! I am Midas.")
    assert "CSV or OFX" in seen.text


async def test_help_lists_the_commands(bot, person):
    """/help names every command, also when it is addressed to the bot by name."""
    seen = await person.says("/help@midas_money_bot")
    assert "/correct NUMBER CATEGORY" in seen.text
    assert "/balance" in seen.text


async def test_an_empty_account_is_explained(bot, person):
    """Before any statement, every command that needs one says how to send it."""
    assert "I know no account" in (await person.says("/balance")).text
    assert "no spending" in (await person.says("/report")).text
    assert "Nothing waits for you" in (await person.says("/pending")).text
    assert "nothing to sort" in (await person.says("/categorize")).text
    assert "Send me a bank statement" in (await person.says("/import")).text


async def test_a_typo_gets_the_command_that_was_meant(bot, person):
    """A mistyped command is answered with the right one, nonsense with the help."""
    assert "Did you mean /balance?" in (await person.says("/balnce now")).text
    assert "/help" in (await person.says("/xyzzy")).text


async def test_sentences_and_stickers_get_an_answer(bot, person):
    """Nobody talks to a wall: what is no command is answered, too, and with the command it names."""
    assert "/balance" in (await person.says("what is my balance")).text
    assert "I understand commands" in (await person.says("good morning")).text
    person.account.send({"location": {"latitude": 52.5, "longitude": 13.4}})
    assert "I understand commands" in (await person.sees("message")).text


async def test_markup_in_a_text_is_shown_as_it_is(bot, person):
    """A person who types HTML or nothing sensible sees it quoted, not interpreted."""
    assert "I do not know /<b>x&amp;</b>." in (await person.says("/<b>x&amp;</b>")).text


async def test_wrong_arguments_are_explained(bot, person):
    """A report over no days, a confirmation of no number, a correction without category say how it is done."""
    for words in ("/report x", "/report 0", f"/report {MOST_DAYS + 1}", "/report -3"):
        assert "number from 1 to 3660" in (await person.says(words)).text
    assert "/confirm 4711" in (await person.says("/confirm all of them")).text
    assert "/correct 4711 Groceries" in (await person.says("/correct 12")).text
    assert "I know no payment #12" in (await person.says("/correct 12 Groceries")).text
    assert "Did you mean Groceries?" in (await person.says("/correct 12 Grocerys")).text
    assert "#99: I have no question" in (await person.says("/confirm 99")).text
