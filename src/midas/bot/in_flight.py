"""Updates that are being handled: at the end, the process waits for them and tells Telegram how far it got."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiogram import BaseMiddleware
from aiogram.exceptions import TelegramAPIError
from aiogram.types import Update

if TYPE_CHECKING:
    from aiogram import Bot
    from aiogram.types import TelegramObject

DRAIN_SECONDS: Final = 8.0
"""Handlers take less than one second; only a call that Telegram told to wait takes longer."""
_FAREWELL_SECONDS: Final = 2.0


class InFlight(BaseMiddleware):
    """Counts updates in, counts them out, and remembers the newest."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._newest: int | None = None

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Handle one update."""
        if isinstance(event, Update):
            self._newest = max(self._newest or 0, event.update_id)
        self._open += 1
        self._idle.clear()
        try:
            return await handler(event, data)
        finally:
            self._open -= 1
            if self._open == 0:
                self._idle.set()

    async def drain(self, bot: Bot) -> None:
        """Wait for the handlers, a few seconds at most, then confirm the updates, so that none is handled twice.

        Polling confirms a batch by asking for the next one, which a process that stops never does.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._idle.wait()
        if self._newest is not None:
            with suppress(TelegramAPIError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await bot.get_updates(offset=self._newest + 1, limit=1, timeout=0)
