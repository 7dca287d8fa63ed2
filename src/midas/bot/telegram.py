"""The connection to Telegram: made from the settings, and tried before anything depends on it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.exceptions import TelegramAPIError, TelegramNotFound, TelegramUnauthorizedError
from aiogram.methods import GetUpdates
from aiogram.types import LinkPreviewOptions
from aiogram.utils.backoff import Backoff, BackoffConfig
from aiogram.utils.token import TokenValidationError

from midas.bot.persistence import Persistence
from midas.errors import SettingsError
from midas.settings import without_password

if TYPE_CHECKING:
    from aiogram.client.session.middlewares.base import NextRequestMiddlewareType
    from aiogram.methods import Response, TelegramMethod
    from aiogram.methods.base import TelegramType

    from botmetry import Telemetry
    from midas.settings import Settings

POLLING_SECONDS: Final = 20
"""How long Telegram may keep an empty poll open."""
CALL_SECONDS: Final = 10.0
"""How long any other call may take; an upload of text is done in a tenth of a second."""
SILENCE_SECONDS: Final = POLLING_SECONDS + CALL_SECONDS + 5
"""Polls that bring nothing for longer than this are dead: one poll, its slack, and one pause of the back-off."""
PATIENCE: Final = BackoffConfig(min_delay=0.5, max_delay=5.0, factor=1.5, jitter=0.1)


class Polling(BaseRequestMiddleware):
    """Notes when Telegram last answered a poll."""

    def __init__(self) -> None:
        """Begin before the first answer."""
        self._answered_at: float | None = None

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Response[TelegramType]:
        """Pass the call on."""
        response = await make_request(bot, method)
        if isinstance(method, GetUpdates):
            self._answered_at = time.monotonic()
        return response

    def check(self) -> None:
        """Raise when polls have not been answered for too long; for readiness."""
        if self._answered_at is None:
            raise ConnectionError("Telegram has not answered yet")
        silent = time.monotonic() - self._answered_at
        if silent > SILENCE_SECONDS:
            raise ConnectionError(f"Telegram has answered no poll for {silent:.0f} s")


@contextlib.asynccontextmanager
async def open_bot(settings: Settings, polling: Polling) -> AsyncIterator[Bot]:
    """Make the client of the Bot API; nothing is sent before it is used.

    Raises:
        SettingsError: There is no token, or it cannot be one.
    """
    token = settings.required("telegram_token")
    server = TelegramAPIServer.from_base(settings.telegram_api_url)
    session = AiohttpSession(api=server, timeout=CALL_SECONDS)
    session.middleware(Persistence())
    session.middleware(polling)
    properties = DefaultBotProperties(
        parse_mode=ParseMode.HTML, link_preview=LinkPreviewOptions(is_disabled=True)
    )
    try:
        bot = Bot(token, session=session, default=properties)
    except TokenValidationError as error:
        raise SettingsError("TELEGRAM_BOT_TOKEN", "must look like 123456:letters-and-digits") from error
    try:
        yield bot
    finally:
        await session.close()


async def introduce(bot: Bot, settings: Settings, telemetry: Telemetry) -> None:
    """Make sure that Telegram knows us and gives us updates, trying as often as it takes while it is away.

    Raises:
        SettingsError: Telegram refuses the token.
    """
    backoff = Backoff(PATIENCE)
    place = without_password(settings.telegram_api_url)
    while True:
        try:
            await bot.me()
            # A webhook from earlier times would keep the updates for itself.
            await bot.delete_webhook()
            # Confirms nothing and returns at once: the first long poll may take its 20 seconds.
            await bot.get_updates(limit=1, timeout=0)
        except (TelegramUnauthorizedError, TelegramNotFound) as error:
            reason = f"is refused by {place}: copy it again from @BotFather, or ask there for a new one"
            raise SettingsError("TELEGRAM_BOT_TOKEN", reason) from error
        except TelegramAPIError as error:
            telemetry.log.warning(
                "telegram.unreachable", place=place, reason=str(error), attempt=backoff.counter + 1
            )
        else:
            return
        await backoff.asleep()
