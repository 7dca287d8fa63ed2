"""A question as a message: its text, its buttons, and what the message becomes after each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from midas.bot.keyboards import category_keyboard, question_keyboard
from midas.bot.texts import decided_text, nothing_pending, question_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiogram.types import InlineKeyboardMarkup

    from midas.bot.services import Services
    from midas.confirmations import Confirmation
    from midas.domain import Transaction

ALL_DONE: Final = "That was all: nothing waits for you any more."


class Card(NamedTuple):
    """A message with its buttons."""

    text: str
    keyboard: InlineKeyboardMarkup | None


async def first_card(services: Services, user_id: int) -> Card:
    """Return the question that waits longest, or that none waits.

    Raises:
        QueueUnavailable: Redis does not answer.
        StoreUnavailable: PostgreSQL does not answer.
    """
    waiting = await services.confirmations.pending(user_id)
    return await _question(services, waiting, 0) if waiting else Card(nothing_pending(), None)


async def card_of(services: Services, user_id: int, confirmation_id: str) -> Card:
    """Return the card of one question, or of the first one when that one is gone. Raises as `first_card`."""
    waiting = await services.confirmations.pending(user_id)
    if not waiting:
        return Card(ALL_DONE, None)
    return await _question(services, waiting, max(0, _place(waiting, confirmation_id)))


async def card_after(services: Services, user_id: int, confirmation_id: str) -> Card:
    """Return the card of the next question, going round at the end. Raises as `first_card`."""
    waiting = await services.confirmations.pending(user_id)
    if not waiting:
        return Card(ALL_DONE, None)
    return await _question(services, waiting, (_place(waiting, confirmation_id) + 1) % len(waiting))


async def choice_card(services: Services, user_id: int, confirmation_id: str) -> Card:
    """Return a question's card with all the categories to choose from. Raises as `first_card`."""
    waiting = await services.confirmations.pending(user_id)
    place = _place(waiting, confirmation_id)
    if place < 0:
        return await card_of(services, user_id, confirmation_id)
    card = await _question(services, waiting, place)
    return Card(card.text.rpartition("\n")[0] + "\nWhat was it?", category_keyboard(waiting[place]))


async def card_after_decision(services: Services, decided: Transaction) -> Card:
    """Return what the message becomes after a decision: that, then the next question. Raises as `first_card`."""
    waiting = await services.confirmations.pending(decided.user_id)
    following = await _question(services, waiting, 0) if waiting else Card(ALL_DONE, None)
    return Card(f"{decided_text(decided)}\n\n{following.text}", following.keyboard)


async def _question(services: Services, waiting: Sequence[Confirmation], place: int) -> Card:
    confirmation = waiting[place]
    transaction = await services.store.transactions.get(confirmation.transaction_id)
    text = question_text(confirmation, transaction, len(waiting))
    return Card(text, question_keyboard(confirmation, len(waiting)))


def _place(waiting: Sequence[Confirmation], confirmation_id: str) -> int:
    """Return where a question stands in the line, -1 when it is gone."""
    return next(
        (place for place, confirmation in enumerate(waiting) if confirmation.id == confirmation_id), -1
    )
