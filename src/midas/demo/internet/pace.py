"""How fast the people live: one place that turns their seconds into seconds of the clock."""

import asyncio
from collections.abc import Awaitable, Callable


class Pace:
    """Waits in the people's time."""

    def __init__(
        self, speed: float = 1.0, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        """Set the pace.

        Args:
            speed: How many of their seconds pass in one of ours, above 0.
            sleep: Waits so many of our seconds.
        """
        if not speed > 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self._speed = speed
        self._sleep = sleep

    async def pause(self, seconds: float) -> None:
        """Wait so many of the people's seconds."""
        await self._sleep(seconds / self._speed)

    def real(self, seconds: float) -> float:
        """Return how many of our seconds so many of theirs are."""
        return seconds / self._speed
