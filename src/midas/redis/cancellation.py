"""Cancels what talks to Redis, for good.

Before Python 3.12 ``asyncio.wait_for`` may swallow a cancellation that arrives in the moment when what it waits for is
done, and redis-py writes every command with it: one cancellation in twenty was lost when we measured. A loop that
lost its cancellation runs on, and whoever waits for its end waits for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN_SECONDS: Final = 0.05


def raise_if_cancelled(before: int) -> None:
    """Raise the cancellation that was swallowed, if one was.

    Args:
        before: What ``asyncio.current_task().cancelling()`` said before the await that may have swallowed it.

    Raises:
        CancelledError: The current task was told to end since then.
    """
    if cancellations() > before:
        raise asyncio.CancelledError


def cancellations() -> int:
    """Count how often the current task was told to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended; what they raised stays with them."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
