"""Everything else: typos, sentences, stickers, groups. It gets an answer that helps, never silence."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from aiogram import F, Router
from aiogram.enums import ChatType

from midas.bot.commands import closest_command, command_in
from midas.bot.texts import NOT_UNDERSTOOD, PRIVATE_ONLY

if TYPE_CHECKING:
    from aiogram.types import CallbackQuery, Message

    from botmetry import Telemetry

_LONGEST_QUOTE: Final = 40


def others_router(telemetry: Telemetry) -> Router:
    """Return the router that comes last and takes what nobody took."""
    router = Router(name="others")

    @router.message(F.text.startswith("/"))
    @telemetry.bot.command("unknown")
    async def unknown(message: Message) -> None:
        typed = (message.text or "/").split()[0][:_LONGEST_QUOTE]
        meant = closest_command(typed)
        advice = f"Did you mean /{meant}?" if meant else "Everything I can do is in /help."
        await message.answer(f"I do not know {escape(typed)}. {advice}")

    @router.message(F.text)
    @telemetry.bot.command("chat")
    async def chat(message: Message) -> None:
        meant = command_in(message.text or "")
        await message.answer(f"You may mean /{meant}. {NOT_UNDERSTOOD}" if meant else NOT_UNDERSTOOD)

    @router.message()
    @telemetry.bot.command("chat")
    async def anything(message: Message) -> None:
        await message.answer(NOT_UNDERSTOOD)

    @router.callback_query()
    @telemetry.bot.command("unknown")
    async def old_button(query: CallbackQuery) -> None:
        await query.answer("This button is from an older time. Please ask again, for example with /pending.")

    return router


def outside_router(telemetry: Telemetry) -> Router:
    """Return the router that comes first and sends people from groups into a private chat."""
    router = Router(name="outside")

    @router.message(F.chat.type != ChatType.PRIVATE, F.text.startswith("/"))
    @telemetry.bot.command("group")
    async def group(message: Message) -> None:
        await message.answer(PRIVATE_ONLY)

    @router.message(F.chat.type != ChatType.PRIVATE)
    async def overheard(_: Message) -> None:
        """Say nothing: people in a group talk to each other."""

    return router
