"""Calls to Telegram that are tried again: when it says when, when it broke, when it was never reached.

A call whose answer was lost on the way may have been carried out, so it is not repeated: a person would read it twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from aiogram.client.session.middlewares.base import BaseRequestMiddleware
from aiogram.exceptions import TelegramNetworkError, TelegramRetryAfter, TelegramServerError
from aiogram.methods import GetUpdates
from aiohttp import ClientConnectorError

if TYPE_CHECKING:
    from aiogram import Bot
    from aiogram.client.session.middlewares.base import NextRequestMiddlewareType
    from aiogram.methods import Response, TelegramMethod
    from aiogram.methods.base import TelegramType

ATTEMPTS: Final = 3
"""In all. Together with the pauses below, the last answer to somebody who waits leaves within half a second."""
LONGEST_WAIT_SECONDS: Final = 60.0
"""Telegram may ask for hours after real misuse; no message is worth keeping a handler that long."""
_FIRST_PAUSE_SECONDS: Final = 0.1
_PAUSE_FACTOR: Final = 3.0


_deferring: ContextVar[bool] = ContextVar("midas_bot_deferring", default=False)


@contextmanager
def deferring() -> Iterator[None]:
    """Have calls in this block raise at once when Telegram says when to come again: the caller comes again then."""
    token = _deferring.set(True)
    try:
        yield
    finally:
        _deferring.reset(token)


class Persistence(BaseRequestMiddleware):
    """Repeats a call where repeating is right."""

    def __init__(
        self, attempts: int = ATTEMPTS, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        """Set how often a call is made in all (1 or more), and how to wait so many seconds."""
        self._attempts = attempts
        self._sleep = sleep

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Response[TelegramType]:
        """Make the call; raise what the last attempt raised."""
        attempt = 1
        while True:
            try:
                return await make_request(bot, method)
            except (TelegramRetryAfter, TelegramServerError, TelegramNetworkError) as error:
                pause = self._pause(method, error, attempt)
                if pause is None:
                    raise
            await self._sleep(pause)
            attempt += 1

    def _pause(self, method: TelegramMethod[TelegramType], error: Exception, attempt: int) -> float | None:
        """Return the seconds to wait before the next attempt, or None when there is none."""
        if isinstance(error, TelegramRetryAfter):
            # A poller has nothing else to do than wait; others give up at some point.
            endless = isinstance(method, GetUpdates)
            worthwhile = error.retry_after <= LONGEST_WAIT_SECONDS and attempt < self._attempts
            worthwhile = worthwhile and not _deferring.get()
            return float(error.retry_after) if endless or worthwhile else None
        # The dispatcher has its own back-off for polling.
        if isinstance(method, GetUpdates) or attempt >= self._attempts or not _surely_undone(error):
            return None
        longest = _FIRST_PAUSE_SECONDS * _PAUSE_FACTOR ** (attempt - 1)
        return random.uniform(longest / 2, longest)  # noqa: S311 -- jitter


def _surely_undone(error: Exception) -> bool:
    return isinstance(error, TelegramServerError) or isinstance(error.__cause__, ClientConnectorError)
