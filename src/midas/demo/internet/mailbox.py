"""The queue of updates as `getUpdates` sees it: an update stays until an offset above it confirms it."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

Update = dict[str, Any]

LARGEST_BATCH = 100  # the Bot API's own limit
CAPACITY = 10_000  # Telegram forgets after 24 hours; a double that nobody polls must not grow without end


class PollerReplacedError(Exception):
    """A second poller came; the first one is sent away, as Telegram does."""


class Mailbox:
    """Updates in order, given out at least once until they are confirmed."""

    def __init__(self, first_update_id: int, delivered: Callable[[Update], None]) -> None:
        """Create an empty mailbox.

        Args:
            first_update_id: The id of the first update; the following ones count up from it.
            delivered: Is called with every update when it is given out for the first time.
        """
        self._next_id = first_update_id
        self._newest_delivered = first_update_id - 1
        self._delivered = delivered
        self._updates: deque[Update] = deque(maxlen=CAPACITY)
        self._allowed: frozenset[str] | None = None
        self._poller: asyncio.Future[None] | None = None
        self.polled = asyncio.Event()
        """Is set from the first poll on: somebody is there."""

    def __len__(self) -> int:
        return len(self._updates)

    def put(self, kind: str, payload: dict[str, Any]) -> int | None:
        """Add an update and wake the poller; return its id, or None when the bot does not want its kind."""
        if self._allowed is not None and kind not in self._allowed:
            return None
        update_id = self._next_id
        self._next_id += 1
        self._updates.append({"update_id": update_id, kind: payload})
        if self._poller is not None and not self._poller.done():
            self._poller.set_result(None)
        return update_id

    async def poll(
        self, offset: int, limit: int, wait_seconds: float, allowed: Sequence[str] | None
    ) -> list[Update]:
        """Return unconfirmed updates, waiting for the first one.

        Args:
            offset: Updates below it are confirmed and forgotten; a negative one keeps only the last -offset.
            limit: At most so many updates, 1 to 100.
            wait_seconds: How long to wait when there is none.
            allowed: The kinds wanted from now on; empty means all, None keeps what was said before.

        Raises:
            PollerReplacedError: Another poll began while this one waited.
        """
        self.polled.set()
        self._send_away()
        self._confirm(offset)
        if allowed is not None:
            self._allowed = frozenset(allowed) or None
        if not self._updates and wait_seconds > 0:
            await self._wait(wait_seconds)
        return self._batch(limit)

    def _send_away(self) -> None:
        if self._poller is not None and not self._poller.done():
            self._poller.set_exception(PollerReplacedError())

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            while len(self._updates) > -offset:
                self._updates.popleft()
            return
        while self._updates and self._updates[0]["update_id"] < offset:
            self._updates.popleft()

    async def _wait(self, seconds: float) -> None:
        poller = self._poller = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await poller
        except TimeoutError:
            return
        finally:
            if self._poller is poller:
                self._poller = None

    def _batch(self, limit: int) -> list[Update]:
        batch = [update for update, _ in zip(self._updates, range(min(limit, LARGEST_BATCH)), strict=False)]
        for update in batch:
            if update["update_id"] > self._newest_delivered:
                self._newest_delivered = update["update_id"]
                self._delivered(update)
        return batch
