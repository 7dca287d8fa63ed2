"""A person waits for no backend: whatever a handler asks for is given up in time for an honest answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from midas.bot.errors import TooSlow

T = TypeVar("T")

PROMPT_SECONDS: Final = 0.7
"""People are to see an answer within a second; this leaves 0.3 s for the way through Telegram and back."""


async def promptly(work: Awaitable[T], seconds: float | None = None) -> T:
    """Wait for `work`, at most so many seconds, PROMPT_SECONDS where none are given.

    Raises:
        TooSlow: It took longer, and was cancelled.
    """
    seconds = PROMPT_SECONDS if seconds is None else seconds
    try:
        async with asyncio.timeout(seconds) as limit:
            return await work
    except TimeoutError as error:
        # Only our own timeout is translated; one that comes from inside has a name and a cause already.
        if not limit.expired():
            raise
        raise TooSlow(seconds) from error
