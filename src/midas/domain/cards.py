"""A user's cards: what money lies on, and how people name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from midas.errors import TransferRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midas.domain.money import Money

_SHOWN_DIGITS: Final = 4
_DECORATION: Final = "•*…#"


@dataclass(frozen=True, slots=True)
class Card:
    """One of a user's cards.

    Attributes:
        wallet_id: Its wallet.
        account: IBAN or number; empty where no statement ever named one.
        available: What it holds and no transfer has reserved; may be negative.
    """

    wallet_id: int
    account: str
    available: Money

    @property
    def name(self) -> str:
        """What it is called: the end of its number, such as ``•4021``, or its currency where it has none."""
        return f"•{self.account[-_SHOWN_DIGITS:]}" if self.account else self.available.currency


def find_card(cards: Sequence[Card], typed: str) -> Card:
    """Give the card whose number ends as `typed` does, or that has no number and this currency.

    Raises:
        TransferRefused: None of the cards, or more than one, is meant.
    """
    wanted = typed.strip(_DECORATION).casefold()
    found = [card for card in cards if wanted and _answers_to(card, wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise TransferRefused(f"{typed} fits {len(found)} of your cards; write more of its number")
    known = ", ".join(card.name for card in cards)
    raise TransferRefused(
        f"you have no card {typed}; yours are {known}"
        if cards
        else f"you have no card {typed}, nor any other"
    )


def _answers_to(card: Card, wanted: str) -> bool:
    if not card.account:
        return card.available.currency.casefold() == wanted
    return card.account.casefold().endswith(wanted)
