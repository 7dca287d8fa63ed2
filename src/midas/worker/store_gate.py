"""Keeps a worker from taking tasks while PostgreSQL is away, and says so once, not once a task."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from midas.errors import StoreUnavailable
from midas.redis.cancellation import end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from botmetry import Telemetry

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0


class StoreGate:
    """Open while PostgreSQL answers.

    Args:
        check: Raises ``StoreUnavailable`` while it does not.
        telemetry: Where the loss and the return are logged.
    """

    def __init__(self, check: Callable[[], Awaitable[None]], telemetry: Telemetry) -> None:
        self._check = check
        self._telemetry = telemetry
        self._open = asyncio.Event()
        self._open.set()
        self._looking: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether PostgreSQL answered the last time."""
        return self._open.is_set()

    async def wait(self) -> None:
        """Wait until PostgreSQL answers."""
        await self._open.wait()

    def close_for(self, error: StoreUnavailable) -> None:
        """Take note that PostgreSQL did not answer: the gate is shut until it does again."""
        if not self._open.is_set():
            return
        self._open.clear()
        self._telemetry.log.warning("store.lost", message=str(error), place=error.place)
        self._looking = asyncio.create_task(self._look(error.place), name="look for PostgreSQL")

    async def aclose(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            await end(self._looking)

    async def _look(self, place: str) -> None:
        attempts = 0
        while True:
            # The jitter keeps workers that lost it together from coming back together.
            longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempts, 10))
            await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 -- not a secret
            attempts += 1
            try:
                await self._check()
            except StoreUnavailable:
                continue
            self._telemetry.log.info("store.found", place=place, failed_attempts=attempts - 1)
            self._open.set()
            return
