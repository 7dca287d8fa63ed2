"""A person waits for no backend: whatever a handler asks for is given up in time for an honest answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from midas.bot.errors import TooSlow

T = TypeVar("T")

PROMPT_SECONDS: Final = 0.7
"""People are to see an answer within a second; this leaves 0.3 s for the way through Telegram and back."""

_ending: set[asyncio.Future[Any]] = set()
"""Work that was told to stop and is still tidying up: the event loop alone would not keep it alive."""


async def promptly(work: Awaitable[T], seconds: float | None = None) -> T:
    """Wait for `work`, at most so many seconds, PROMPT_SECONDS where none are given.

    The end of work that was told to stop is not waited for: a connection whose other side hangs takes seconds to be
    given back.

    Raises:
        TooSlow: It took longer, and was cancelled.
    """
    seconds = PROMPT_SECONDS if seconds is None else seconds
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
    finally:
        if not task.done():
            task.cancel()
            _ending.add(task)
            task.add_done_callback(_forget)
    raise TooSlow(seconds)


def _forget(task: asyncio.Future[Any]) -> None:
    _ending.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that nobody complains: whoever asked has been answered
