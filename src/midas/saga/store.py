"""Sends the moves of sagas, and knows what time it is at the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from midas.errors import QueueUnavailable
from midas.redis import SOCKET_SECONDS, NotDurable

if TYPE_CHECKING:
    from midas.redis import Availability, Call
    from midas.redis.lines import Command
    from midas.saga.calls import Calls, Clock, Held

T = TypeVar("T")

ANSWER_SECONDS: Final = 2.0
"""Callers with a person waiting learn after two seconds that Redis is away."""
_OWNER_SECONDS: Final = 2 * SOCKET_SECONDS
_AT_ONCE: Final = 32
"""Calls under way at once. The others wait here, where waiting does not look as if Redis were away."""
_WAITING_AT_ONCE: Final = 16
"""Connections that do nothing but wait for replicas, beside those: when none answers, the other calls go on."""


class Sending(Protocol):
    """What sends calls: ``midas.redis.Sender``, or in tests something around it."""

    async def send(self, call: Call, *, within: float) -> Any:
        """Send one call and give its reply."""

    async def send_and(self, call: Call, then: Command, *, within: float) -> tuple[Any, Any]:
        """Send one call and another command behind it, and give the replies of both."""


class Store:
    """Where sagas are kept.

    Args:
        sender: Sends the calls.
        availability: Says how long to wait while Redis is away.
        calls: Builds the calls.
        clock: The tests' time; None for the server's.
    """

    def __init__(
        self, sender: Sending, availability: Availability, calls: Calls, clock: Clock | None
    ) -> None:
        self._sender = sender
        self._availability = availability
        self.calls = calls
        self._clock = clock
        self._offset = time.time() - time.monotonic()
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._turn_to_wait = asyncio.Semaphore(_WAITING_AT_ONCE)

    def now_ms(self) -> int:
        """Milliseconds since 1970 by the server's clock, as of its last reply."""
        seconds = self._clock() if self._clock is not None else time.monotonic() + self._offset
        return round(seconds * 1000)

    def heard(self, now: int) -> None:
        """Take note of what time the server said it is."""
        self._offset = now / 1000 - time.monotonic()

    async def ask(self, call: Call) -> Any:
        """Send a move for which a person may be waiting.

        Raises:
            QueueUnavailable: Redis did not answer within two seconds; the move may have been made nevertheless.
        """
        return await self._send(call, ANSWER_SECONDS)

    async def insist(self, call: Call, give_up: Callable[[], bool]) -> Any:
        """Send an owner's move until Redis answers: it may be sent again, and is refused if the saga is not ours.

        Args:
            call: The move.
            give_up: Whether it is of no use any more.

        Raises:
            QueueUnavailable: Redis did not answer, and it is of no use any more.
        """
        return await self._repeat(lambda: self._send(call, _OWNER_SECONDS), give_up)

    async def confirm(self, held: Held, give_up: Callable[[], bool]) -> None:
        """Wait until as many disks and replicas as ``SagaConfig.durability`` says have all that was written before.

        Args:
            held: The saga of which it was written; its lease is renewed.
            give_up: Whether it is of no use any more.

        Raises:
            NotDurable: It did not come to that in time.
            QueueUnavailable: Redis did not answer, and it is of no use any more.
        """
        durability = self.calls.durability
        if not durability.is_wanted:
            return
        # WAIT waits for what its own connection wrote last; all that others wrote before is in front of that.
        call, patience = self.calls.renew([held]), _OWNER_SECONDS + durability.timeout

        async def wait() -> Any:
            async with self._turn_to_wait:
                return await self._sender.send_and(call, durability.wait_command, within=patience)

        _, confirmed = await self._repeat(wait, give_up)
        if not durability.is_reached(confirmed):
            raise NotDurable(
                f"what was written of saga {held.saga_id} had after {durability.timeout:g} s not been confirmed by "
                f"{durability}: {confirmed}"
            )

    async def _repeat(self, ask: Callable[[], Awaitable[T]], give_up: Callable[[], bool]) -> T:
        while True:
            try:
                return await ask()
            except QueueUnavailable:
                if give_up():
                    raise
                await self._availability.pause(at_most=1.0)

    async def _send(self, call: Call, within: float) -> Any:
        async with self._turn:
            return await self._sender.send(call, within=within)
