"""One visit of one person, written as a script: they act, look at what the bot shows them, and act on that.

Nothing here knows the bot. A person reads captions, commands in a text, and the category under a question; a bot with
other words for the same things is used the same way.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Final

from midas.demo.internet.accounts import Account
from midas.demo.internet.exchange import Incoming
from midas.demo.internet.faults import Faults
from midas.demo.internet.pace import Pace
from midas.demo.internet.people import Errand, Person
from midas.demo.internet.shops import true_category
from midas.demo.internet.statements import break_statement, next_statement, savings_statement

NEWS_SECONDS = 20.0  # how long somebody who sent a statement waits to hear how it went
MOST_DECISIONS = 6  # questions answered in one visit
BROKEN_SHARE = 0.03  # of the statements are cut off, as downloads are
DOUBLE_SHARE = 0.04  # of what is sent or pressed is sent or pressed twice
OVERDRAWN_SHARE = 0.1  # of the transfers want more than there is
OVERDRAWN = 1.5  # times what there is
TYPED_SHARE = 0.15  # of the decisions are typed instead of pressed

_COMMAND: Final = re.compile(r"/[a-z]+")
_NUMBER: Final = re.compile(r"#(\d+)")
_CARD: Final = re.compile(r"^(\S+): (-?[\d,]+\.\d+) ([A-Z]{3})$", re.MULTILINE)
_OTHER: Final = re.compile(r"another|other categor|change|different", re.IGNORECASE)
_SKIP: Final = re.compile(r"later|skip|next|back|cancel", re.IGNORECASE)


class Visit:
    """A person in front of their telephone."""

    def __init__(self, person: Person, account: Account, pace: Pace, faults: Faults, today: date) -> None:
        """Sit the person down.

        Args:
            person: Who it is.
            account: Their telephone.
            pace: How fast they live.
            faults: Under `low-confidence` their statements name obscure shops only.
            today: The last day a statement may cover.
        """
        self._person = person
        self._account = account
        self._pace = pace
        self._faults = faults
        self._today = today
        self._truth: str | None = None
        self._errands: dict[Errand, Callable[[], Awaitable[None]]] = {
            "start": self._start,
            "help": self._help,
            "balance": self._balance,
            "import": self._import,
            "savings": self._hand_over_savings,
            "transfer": self._transfer,
            "categorize": self._categorize,
            "decide": self._decide,
            "report": self._report,
            "chat": self._chat,
        }

    async def run(self) -> None:
        """Do one errand after the other."""
        for errand in self._person.plan():
            await self._errands[errand]()

    async def _start(self) -> None:
        await self._ask("/start")

    async def _help(self) -> None:
        await self._ask("/help")

    async def _balance(self) -> None:
        await self._ask("/balance")

    async def _chat(self) -> None:
        await self._ask(self._person.luck.choice(("hello?", "how much did I spend on food", "thanks!")))

    async def _report(self) -> None:
        if await self._ask("/report") is not None:
            await self._account.look(self._pace.real(NEWS_SECONDS))

    async def _categorize(self) -> None:
        if await self._ask("/categorize") is not None:
            await self._account.look(self._pace.real(NEWS_SECONDS))

    async def _import(self) -> None:
        if self._person.luck.random() < 0.25:  # noqa: PLR2004 - one in four asks how it is done
            await self._ask("/import")
        name, data = next_statement(self._person, self._today, obscure="low-confidence" in self._faults)
        if self._person.luck.random() < BROKEN_SHARE:
            await self._hand_over(name, break_statement(data, self._person.luck))
        answer = await self._hand_over(name, data)
        if answer is not None and self._person.decides:
            await self._account.look(self._pace.real(NEWS_SECONDS))

    async def _hand_over_savings(self) -> None:
        await self._hand_over(*savings_statement(self._person, self._today))

    async def _transfer(self) -> None:
        """Look at the cards, then move some of what lies on the fullest to another one of its currency."""
        listing = await self._ask("/transfer")
        cards = sorted(_CARD.findall(listing.text) if listing else (), key=_held, reverse=True)
        if not cards:
            return
        source, _, currency = cards[0]
        target = next((name for name, _, other in cards[1:] if other == currency), None)
        share = (
            OVERDRAWN
            if self._person.luck.random() < OVERDRAWN_SHARE
            else self._person.luck.uniform(0.02, 0.2)
        )
        amount = round(_held(cards[0]) * Decimal(share), 2)
        if target is not None and amount > 0:
            await self._ask(f"/transfer {amount} {source.strip('•')} {target.strip('•')}")

    async def _hand_over(self, name: str, data: bytes) -> Incoming | None:
        await self._think()
        self._account.look_away()
        self._account.send_document(name, data)
        return await self._account.look(self._pace.real(self._person.patience_seconds * 2))

    async def _decide(self) -> None:
        card = await self._ask("/pending")
        for _ in range(MOST_DECISIONS):
            if card is None or not card.buttons or not self._person.decides:
                return
            await self._think()
            if self._person.luck.random() < TYPED_SHARE and _NUMBER.search(card.text):
                await self._decide_in_writing(card)
                card = await self._ask("/pending")
            else:
                card = await self._decide_by_button(card)

    async def _decide_in_writing(self, card: Incoming) -> None:
        number = _NUMBER.search(card.text)
        truth = true_category(card.text)
        if number is None:
            return
        if truth is None or truth in card.buttons[0][0]:
            await self._ask(f"/confirm {number[1]}")
        else:
            await self._ask(f"/correct {number[1]} {truth}")

    async def _decide_by_button(self, card: Incoming) -> Incoming | None:
        # A list of categories may not name the shop again; a person remembers what was asked.
        self._truth = true_category(card.text) or self._truth
        choice = _choose(card.buttons, self._truth)
        self._account.look_away()
        self._account.press(card, choice)
        if self._person.luck.random() < DOUBLE_SHARE:
            self._account.press(card, choice)
        return await self._next_screen()

    async def _next_screen(self) -> Incoming | None:
        """Look until a message changes or comes; the small text that answers a button is not the end of it."""
        while True:
            seen = await self._account.look(self._pace.real(self._person.patience_seconds))
            if seen is None or seen.kind != "toast":
                return seen

    async def _ask(self, command: str) -> Incoming | None:
        """Send a command until something comes back or patience ends; return what came."""
        await self._think()
        self._account.look_away()
        typed = self._person.mistype(command)
        self._account.write(typed)
        if self._person.luck.random() < DOUBLE_SHARE:
            self._account.write(typed)
        for repeat in range(self._person.repeats + 1):
            seen = await self._next_screen()
            if seen is not None:
                return seen if typed == command else await self._follow_advice(seen, command)
            if repeat < self._person.repeats:
                self._account.write(typed)
        return None

    async def _follow_advice(self, seen: Incoming, command: str) -> Incoming | None:
        """After a typo: send the command that the bot suggests, if it is the one that was meant."""
        word, _, rest = command.partition(" ")
        if word not in _COMMAND.findall(seen.text):
            return seen
        await self._think()
        self._account.look_away()
        self._account.write(f"{word} {rest}".rstrip())
        return await self._next_screen()

    async def _think(self) -> None:
        await self._pace.pause(self._person.think_seconds())


def _held(card: tuple[str, str, str]) -> Decimal:
    return Decimal(card[1].replace(",", ""))


def _choose(buttons: list[tuple[str, str]], truth: str | None) -> str:
    """Return the data of the button a person presses who knows what the shop really is.

    The right category where a button offers it; the way to other categories where none does; else the first button.
    """
    for caption, data in buttons:
        if truth is not None and truth in caption:
            return data
    if truth is not None:
        for caption, data in buttons:
            if _OTHER.search(caption):
                return data
    return next((data for caption, data in buttons if not _SKIP.search(caption)), buttons[0][1])
