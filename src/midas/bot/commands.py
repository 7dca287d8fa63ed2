"""The commands as data: the menu in Telegram, the text of /help and the answer to a typo all come from here."""

from __future__ import annotations

from typing import Final, NamedTuple

from rapidfuzz import fuzz, process

_NEAR_ENOUGH: Final = 62.0
"""In 0..100. One wrong letter in a word of six gives 83, two give 67; `/hello` is no `/help` with its 60."""
_SURE_ENOUGH: Final = 84.0
"""For a word somewhere in a sentence, which was probably not meant as a command."""
_SHORTEST_WORD: Final = 4


class BotCommandText(NamedTuple):
    """One command."""

    name: str
    menu: str
    """What Telegram's menu shows beside it."""
    usage: str
    """What follows the command, in the words of /help; empty where nothing does."""


COMMANDS: Final = (
    BotCommandText("balance", "what your accounts hold", ""),
    BotCommandText("import", "hand me a bank statement (CSV or OFX)", ""),
    BotCommandText("pending", "payments whose category I am not sure of", ""),
    BotCommandText("confirm", "say that I guessed right", "NUMBER, or all"),
    BotCommandText("correct", "say what it really was", "NUMBER CATEGORY"),
    BotCommandText("categorize", "sort what has no category yet", ""),
    BotCommandText("report", "where your money went", "DAYS"),
    BotCommandText("transfer", "move money between your cards", "AMOUNT FROM TO"),
    BotCommandText("help", "what I can do", ""),
    BotCommandText("start", "say hello", ""),
)
NAMES: Final = tuple(command.name for command in COMMANDS)


def closest_command(word: str) -> str | None:
    """Return the command that somebody meant who typed `word` (with or without a slash), or None."""
    typed = word.strip("/").partition("@")[0].casefold()
    found = process.extractOne(typed, NAMES, scorer=fuzz.ratio, score_cutoff=_NEAR_ENOUGH)
    return None if found is None else found[0]


def command_in(sentence: str) -> str | None:
    """Return the command that a sentence speaks of, such as *balance* in "my balance please", or None."""
    words = (word.strip(".,!?;:'\"()").casefold() for word in sentence.split())
    for word in words:
        if len(word) >= _SHORTEST_WORD:
            found = process.extractOne(word, NAMES, scorer=fuzz.ratio, score_cutoff=_SURE_ENOUGH)
            if found is not None:
                return found[0]
    return None
