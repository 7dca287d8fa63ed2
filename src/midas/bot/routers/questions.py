"""Questions about categories: /pending, /confirm, /correct and the buttons under a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiogram import F, Router
from aiogram.exceptions import TelegramBadRequest
from aiogram.filters import Command
from aiogram.types import Message

from midas.bot.cards import Card, card_after, card_after_decision, card_of, choice_card, first_card
from midas.bot.decisions import confirm_numbers, correct_number
from midas.bot.errors import TooSlow
from midas.bot.keyboards import Answer, Step
from midas.bot.prompt import promptly
from midas.domain import ASSIGNABLE
from midas.errors import AlreadyDecided, ConfirmationError

if TYPE_CHECKING:
    from aiogram.filters import CommandObject
    from aiogram.types import CallbackQuery, User

    from botmetry import Telemetry
    from midas.bot.services import Services
    from midas.domain import Transaction

_DECIDED_BEFORE: Final = "You decided this one already."
_GONE: Final = "This question is not open any more."
_BEING_FILED: Final = "Noted. Filing it takes a moment longer than usual."
_UNCHANGEABLE: Final = ("message to edit not found", "message can't be edited", "MESSAGE_ID_INVALID")


def questions_router(telemetry: Telemetry) -> Router:
    """Return the router of everything about questions."""
    router = Router(name="questions")
    _add_commands(router, telemetry)
    _add_buttons(router, telemetry)
    return router


def _add_commands(router: Router, telemetry: Telemetry) -> None:
    @router.message(Command("pending"))
    @telemetry.bot.command("pending")
    async def pending(message: Message, event_from_user: User, services: Services) -> None:
        card = await promptly(first_card(services, event_from_user.id))
        await message.answer(card.text, reply_markup=card.keyboard)

    @router.message(Command("confirm"))
    @telemetry.bot.command("confirm")
    async def confirm(
        message: Message, command: CommandObject, event_from_user: User, services: Services
    ) -> None:
        card = await promptly(confirm_numbers(services, event_from_user.id, command.args or ""))
        await message.answer(card.text, reply_markup=card.keyboard)

    @router.message(Command("correct"))
    @telemetry.bot.command("correct")
    async def correct(
        message: Message, command: CommandObject, event_from_user: User, services: Services
    ) -> None:
        card = await promptly(correct_number(services, event_from_user.id, command.args or ""))
        await message.answer(card.text, reply_markup=card.keyboard)


def _add_buttons(router: Router, telemetry: Telemetry) -> None:
    @router.callback_query(Answer.filter(F.step == Step.CONFIRM))
    @telemetry.bot.command("confirm")
    async def yes(query: CallbackQuery, callback_data: Answer, services: Services) -> None:
        await _decide(query, callback_data, services, None)

    @router.callback_query(Answer.filter((F.step == Step.PICK) & F.category.in_(range(len(ASSIGNABLE)))))
    @telemetry.bot.command("correct")
    async def other(query: CallbackQuery, callback_data: Answer, services: Services) -> None:
        await _decide(query, callback_data, services, ASSIGNABLE[callback_data.category])

    @router.callback_query(Answer.filter(F.step.in_((Step.CHANGE, Step.BACK, Step.LATER))))
    @telemetry.bot.command("pending")
    async def turn(query: CallbackQuery, callback_data: Answer, services: Services) -> None:
        make = {Step.CHANGE: choice_card, Step.BACK: card_of, Step.LATER: card_after}[callback_data.step]
        card = await promptly(make(services, query.from_user.id, callback_data.id))
        await query.answer()
        await _show(query, card)


async def _decide(query: CallbackQuery, answer: Answer, services: Services, category: str | None) -> None:
    """Take a decision and turn the message into the next question; a second click changes nothing."""
    user_id = query.from_user.id
    try:
        decided = await services.deliveries.finished_anyway(_take(services, user_id, answer.id, category))
    except TooSlow:
        await query.answer(_BEING_FILED)
        return
    except AlreadyDecided:
        await query.answer(_DECIDED_BEFORE)
        return
    except ConfirmationError:
        await query.answer(_GONE)
        await _show(query, await promptly(card_of(services, user_id, answer.id)))
        return
    await query.answer(f"Filed under {decided.category}.")
    await _show(query, await promptly(card_after_decision(services, decided)))


async def _take(services: Services, user_id: int, confirmation_id: str, category: str | None) -> Transaction:
    if category is None:
        return await services.sync.confirm(user_id, confirmation_id)
    return await services.sync.correct(user_id, confirmation_id, category)


async def _show(query: CallbackQuery, card: Card) -> None:
    """Replace the message that the button is under; one that cannot be changed any more gets a successor."""
    if isinstance(query.message, Message):
        try:
            await query.message.edit_text(card.text, reply_markup=card.keyboard)
        except TelegramBadRequest as error:
            # A second click shows what is there already, which Telegram calls an error.
            if "not modified" in error.message:
                return
            if not any(words in error.message for words in _UNCHANGEABLE):
                raise
        else:
            return
    if query.bot is not None:
        await query.bot.send_message(query.from_user.id, card.text, reply_markup=card.keyboard)
