"""Hello, and what the bot can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiogram import Router
from aiogram.filters import Command

from midas.bot.people import remember
from midas.bot.prompt import promptly
from midas.bot.texts import help_text, welcome

if TYPE_CHECKING:
    from aiogram.types import Message, User

    from botmetry import Telemetry
    from midas.bot.services import Services


def greetings_router(telemetry: Telemetry) -> Router:
    """Return the router of /start and /help."""
    router = Router(name="greetings")

    @router.message(Command("start"))
    @telemetry.bot.command("start")
    async def start(message: Message, event_from_user: User, services: Services) -> None:
        await promptly(remember(services.store, event_from_user, message.chat.id))
        await message.answer(welcome(event_from_user.first_name))

    @router.message(Command("help"))
    @telemetry.bot.command("help")
    async def help_(message: Message) -> None:
        await message.answer(help_text())

    return router
