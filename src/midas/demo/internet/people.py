"""Who writes to the bot: a person's habits, drawn once from the seed, and what they plan for a visit."""

import random
import string
from dataclasses import dataclass, field
from typing import Literal

from midas.demo.internet.entries import Entry

Errand = Literal[
    "start", "help", "balance", "import", "savings", "transfer", "categorize", "decide", "report", "chat"
]

FIRST_USER_ID = 5_000_001
SAVERS = 0.4
"""Share of people with a second account."""

_NAMES = (
    "Ada", "Ben", "Cem", "Dana", "Emil", "Fatma", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Lea", "Mika", "Nora",
    "Omar", "Paula", "Quinn", "Rosa", "Sami", "Tara", "Ugo", "Vera", "Wim", "Xenia", "Yusuf", "Zoe",
)  # fmt: skip
_KEYS_BESIDE = {
    "a": "s", "b": "v", "c": "x", "d": "s", "e": "r", "f": "g", "g": "h", "h": "j", "i": "o", "l": "k", "m": "n",
    "n": "m", "o": "p", "p": "o", "r": "t", "s": "d", "t": "z", "z": "t",
}  # fmt: skip

# Shares of visits of somebody who has been here before. One visit in three brings a statement.
_REGULAR_PLANS: tuple[tuple[float, tuple[Errand, ...]], ...] = (
    (0.34, ("import", "decide", "balance")),
    (0.17, ("balance",)),
    (0.05, ("transfer", "balance")),
    (0.16, ("report",)),
    (0.12, ("decide",)),
    (0.10, ("balance", "report")),
    (0.03, ("categorize", "decide")),
    (0.02, ("help", "balance")),
    (0.01, ("chat",)),
)


@dataclass(slots=True)
class Person:
    """One person's habits and memory."""

    user_id: int
    first_name: str
    luck: random.Random
    typo_ratio: float
    """Share of commands that are mistyped, 0 to 1."""
    patience_seconds: float
    """How long they look at an unanswered message before they send it again."""
    repeats: int
    """How often they send it again before they give up."""
    decides: bool
    """Whether they ever answer a question about a category."""
    eagerness: float
    """How often they come, relative to the others."""
    dialect: str
    """The bank whose statements they have."""
    account: str
    savings: str
    """A second account of theirs, empty where they have none."""
    visits: int = 0
    past: list[Entry] = field(default_factory=list)
    """The end of their last statement, which the next one repeats, as banks do."""

    def plan(self) -> tuple[Errand, ...]:
        """Return what this visit is for; the first visit is to make the bot's acquaintance."""
        self.visits += 1
        if self.visits == 1:
            both: tuple[Errand, ...] = ("savings", "transfer") if self.savings else ()
            return ("start", "import", *both, "decide", "report")
        plans = [plan for _, plan in _REGULAR_PLANS]
        return self.luck.choices(plans, weights=[weight for weight, _ in _REGULAR_PLANS])[0]

    def think_seconds(self) -> float:
        """Return how long they read and type: log-normal, two seconds in the middle, rarely more than ten."""
        return min(self.luck.lognormvariate(0.7, 0.6), 15.0)

    def mistype(self, command: str) -> str:
        """Return the command as their fingers wrote it: mostly right."""
        if self.luck.random() >= self.typo_ratio:
            return command
        word, _, rest = command.partition(" ")
        letters = [index for index, letter in enumerate(word) if letter in string.ascii_lowercase]
        if len(letters) < 3:  # noqa: PLR2004 - a shorter word with a fault in it means nothing any more
            return command
        index = self.luck.choice(letters[1:])
        slip = self.luck.choice(("drop", "double", "swap", "beside"))
        return f"{_slip(word, index, slip)} {rest}".rstrip()


def make_person(seed: int, number: int, dialects: tuple[str, ...]) -> Person:
    """Return person `number` (0, 1, …) of the population with this seed: always the same one."""
    luck = random.Random(f"{seed}/person/{number}")  # noqa: S311 - a population, not a secret
    return Person(
        user_id=FIRST_USER_ID + number,
        first_name=luck.choice(_NAMES),
        luck=luck,
        typo_ratio=min(0.3, luck.expovariate(1 / 0.05)),
        patience_seconds=min(max(luck.lognormvariate(1.5, 0.5), 1.5), 12.0),
        repeats=luck.choice((0, 1, 1, 2)),
        decides=luck.random() >= 0.15,  # noqa: PLR2004 - one person in seven never answers a question
        eagerness=luck.lognormvariate(0.0, 0.8),
        dialect=luck.choice(dialects),
        account=_iban(luck.randrange(10**18)),
        savings=_savings(seed, number),
    )


def _savings(seed: int, number: int) -> str:
    luck = random.Random(f"{seed}/savings/{number}")  # noqa: S311 - drawn apart: it changes nobody's habits
    return _iban(luck.randrange(10**18)) if luck.random() < SAVERS else ""


def _iban(number: int) -> str:
    """Return a German IBAN with valid check digits (ISO 13616: 98 - (digits, "DE" as 1314, 00) mod 97)."""
    bban = f"{number:018d}"
    return f"DE{98 - int(bban + '131400') % 97:02d}{bban}"


def _slip(word: str, index: int, slip: str) -> str:
    letter = word[index]
    if slip == "drop":
        return word[:index] + word[index + 1 :]
    if slip == "double":
        return word[:index] + letter + word[index:]
    if slip == "swap":
        return word[: index - 1] + letter + word[index - 1] + word[index + 1 :]
    return word[:index] + _KEYS_BESIDE.get(letter, "x") + word[index + 1 :]
