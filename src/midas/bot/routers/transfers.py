"""Moving money between one's cards: /transfer, whose good end a notice tells."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

from aiogram import Router
from aiogram.filters import Command

from midas.bot.apologies import apology
from midas.bot.people import remember
from midas.bot.prompt import promptly
from midas.bot.texts import MOVING, cards_text, refused_text
from midas.domain.money import parse_amount
from midas.errors import TransferRefused
from midas.sync.csv_dialect import detect_decimal_mark

if TYPE_CHECKING:
    from aiogram.filters import CommandObject
    from aiogram.types import Message, User

    from botmetry import Telemetry
    from midas.bot.services import Services

MOVING_SECONDS: Final = 0.5
"""A transfer takes some twenty milliseconds; what takes longer than this is told of later."""
_FILLERS: Final = frozenset({"from", "to"})
_WORDS: Final = 3


class Wish(NamedTuple):
    """What somebody wants to move."""

    amount: tuple[Decimal, str | None]
    """And its currency, where they said one."""
    source: str
    target: str


def transfers_router(telemetry: Telemetry) -> Router:
    """Return the router of /transfer."""
    router = Router(name="transfers")

    @router.message(Command("transfer"))
    @telemetry.bot.command("transfer")
    async def transfer(
        message: Message, command: CommandObject, event_from_user: User, services: Services
    ) -> None:
        wish = read_wish(command.args or "")
        if wish is None:
            cards = await promptly(services.transfers.cards(event_from_user.id))
            await message.answer(cards_text(cards))
            return
        await promptly(remember(services.store, event_from_user, message.chat.id))
        moving = services.deliveries.begin(_move(services, message, event_from_user, wish))
        await asyncio.wait({moving}, timeout=MOVING_SECONDS)
        if moving.done():
            await _tell_end(message, moving)
            return
        await message.answer(MOVING)
        services.deliveries.in_background(_tell_later(message, telemetry, moving), "transfer")

    return router


def read_wish(arguments: str) -> Wish | None:
    """Return what stands after the command, None where it is not an amount and two cards."""
    words = [word for word in arguments.split() if word.casefold() not in _FILLERS]
    if len(words) == _WORDS + 1 and words[1].isalpha():
        words[:2] = [words[0] + words[1].upper()]  # 25 EUR
    if len(words) != _WORDS:
        return None
    try:
        amount = parse_amount(words[0].upper(), mark=detect_decimal_mark(words[:1], ","))
    except ValueError:
        return None
    return Wish(amount, words[1], words[2])


async def _move(services: Services, message: Message, user: User, wish: Wish) -> None:
    # A message that Telegram hands over twice, because we died before we confirmed it, is one transfer.
    transfer_id = f"transfer-{message.chat.id}-{message.message_id}"
    await services.transfers.transfer(
        user.id, message.chat.id, wish.amount, wish.source, wish.target, transfer_id
    )


async def _tell_end(message: Message, moving: asyncio.Task[None]) -> None:
    """Say why nothing was moved; that something was, a notice says."""
    try:
        await moving
    except TransferRefused as error:
        await message.answer(refused_text(error))


async def _tell_later(message: Message, telemetry: Telemetry, moving: asyncio.Task[None]) -> None:
    try:
        await _tell_end(message, moving)
    except Exception as error:
        telemetry.bot.error("transfer", type(error).__name__)
        await message.answer(f"⚠️ {escape(apology(error))}")
        raise
