"""Brings an ending to its end, however often whoever waits for it is cancelled.

``midas.redis.end`` cancels a task again and again until it has ended. A worker that took the second of these for a
reason to leave its reader as it is would go on renewing a lease that nobody looks after.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def to_the_end(ending: Coroutine[Any, Any, None], hurry: Callable[[], None] | None = None) -> None:
    """Wait for an ending, and only then raise the cancellation that came meanwhile.

    Args:
        ending: What is to be done.
        hurry: Called whenever a cancellation comes meanwhile.

    Raises:
        CancelledError: One came.
    """
    work = asyncio.create_task(ending)
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
            if hurry is not None:
                hurry()
    work.result()
    if cancelled is not None:
        raise cancelled
