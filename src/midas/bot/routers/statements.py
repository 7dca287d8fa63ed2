"""Bank statements: /import, documents, and /categorize for what has no category yet."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiogram import F, Router
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command
from aiohttp import ClientError

from midas.bot.apologies import apology
from midas.bot.errors import DownloadFailed
from midas.bot.noted_queue import Noted, noting
from midas.bot.people import remember
from midas.bot.prompt import promptly
from midas.bot.texts import (
    HOW_TO_IMPORT,
    LARGEST_FILE_BYTES,
    READING,
    TOO_LARGE,
    broken_statement,
    categorizing_text,
    imported_text,
    shortened,
)
from midas.errors import StatementError

if TYPE_CHECKING:
    from aiogram import Bot
    from aiogram.types import Document, Message, User

    from botmetry import Telemetry
    from midas.bot.services import Services

READING_SECONDS: Final = 0.5
"""What takes longer than this, a large file or a slow database, is reported by a later message."""


def statements_router(telemetry: Telemetry) -> Router:
    """Return the router of /import, documents and /categorize."""
    router = Router(name="statements")

    @router.message(Command("import"))
    @telemetry.bot.command("import")
    async def how(message: Message) -> None:
        await message.answer(HOW_TO_IMPORT)

    @router.message(F.document)
    @telemetry.bot.command("import")
    async def document(message: Message, event_from_user: User, services: Services, bot: Bot) -> None:
        file = message.document
        if file is None:
            return
        if (file.file_size or 0) > LARGEST_FILE_BYTES:
            megabytes = (file.file_size or 0) / 2**20
            await message.answer(TOO_LARGE.format(name=shortened(_name(file)), megabytes=megabytes))
            return
        work = _import(bot, file, event_from_user, message.chat.id, services)
        await _answer_now_or_later(message, services, telemetry, work, _name(file))

    @router.message(Command("categorize"))
    @telemetry.bot.command("categorize")
    async def categorize(message: Message, event_from_user: User, services: Services) -> None:
        user_id = event_from_user.id
        with noting() as notes:
            queued = await promptly(services.sync.categorize_pending(user_id))
        await _tell(message, services, Imported(categorizing_text(queued), user_id, tuple(notes)))

    return router


class Imported(NamedTuple):
    """What is said about an import, and what is on its way to the AI."""

    text: str
    user_id: int
    notes: tuple[Noted, ...] = ()
    told: bool = False
    """Whether a notice says it all, so that nothing is left to say."""


async def _import(bot: Bot, file: Document, user: User, chat_id: int, services: Services) -> Imported:
    """Fetch a file and store what it holds.

    Raises:
        DownloadFailed: Telegram does not give us the file.
        StoreUnavailable: PostgreSQL does not answer; nothing was stored.
        ImportFailed: What was stored had to be taken back.
    """
    name = _name(file)
    await remember(services.store, user, chat_id)
    data = await _download(bot, file, name)
    try:
        with noting() as notes:
            report = await services.sync.import_statement(user.id, name, data, chat_id)
    except StatementError as error:
        return Imported(broken_statement(error), user.id)
    return Imported(imported_text(name, report), user.id, tuple(notes), report.told)


async def _download(bot: Bot, file: Document, name: str) -> bytes:
    buffer = BytesIO()
    try:
        await bot.download(file, buffer)
    except (TelegramAPIError, ClientError, TimeoutError) as error:
        raise DownloadFailed(name) from error
    return buffer.getvalue()


async def _answer_now_or_later(
    message: Message, services: Services, telemetry: Telemetry, work: Coroutine[Any, Any, Imported], name: str
) -> None:
    importing = services.deliveries.begin(work)
    done, _ = await asyncio.wait({importing}, timeout=READING_SECONDS)
    if done:
        await _tell(message, services, await importing)
        return
    await message.answer(READING.format(name=shortened(name)))
    services.deliveries.in_background(_tell_later(message, services, telemetry, importing), "import")


async def _tell_later(
    message: Message, services: Services, telemetry: Telemetry, importing: asyncio.Task[Imported]
) -> None:
    try:
        imported = await importing
    except Exception as error:
        telemetry.bot.error("import", type(error).__name__)
        await message.answer(f"⚠️ {escape(apology(error))}")
        raise
    await _tell(message, services, imported)


async def _tell(message: Message, services: Services, imported: Imported) -> None:
    """Say what was done, and promise to say how the AI fared, unless a notice does."""
    if imported.told:
        return
    async with services.deliveries.promised(
        message.chat.id,
        imported.user_id,
        "categorization",
        [noted.task_id for noted in imported.notes],
        [noted.transaction_id for noted in imported.notes],
    ):
        await message.answer(imported.text)


def _name(file: Document) -> str:
    return file.file_name or "your file"
