"""Sends at once what was handed in while the last sending was under way.

Nothing waits for a timer: what comes alone goes alone, and under load calls become as large as they need to be.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from midas.redis import end

I = TypeVar("I")  # noqa: E741 -- what goes in
O = TypeVar("O")  # noqa: E741 -- what comes out


class GroupCommit(Generic[I, O]):
    """One line of items that are sent in groups, in order, one group at a time.

    Args:
        send: Sends a group and gives a reply for each item, in their order. What it raises, each item's owner gets.
        most: Items in a group.
    """

    def __init__(self, send: Callable[[list[I]], Awaitable[Sequence[O]]], most: int) -> None:
        self._send = send
        self._most = most
        self._line: deque[tuple[I, Callable[[O | BaseException], None]]] = deque()
        self._sending: asyncio.Future[None] | None = None

    def put(self, item: I, on_reply: Callable[[O | BaseException], None]) -> None:
        """Hand an item in; `on_reply` is called with its reply, or with what went wrong."""
        self._line.append((item, on_reply))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())

    async def send(self, item: I) -> O:
        """Hand an item in and wait for its reply. Where nothing is under way, its caller sends it."""
        if self._sending is None:
            return await self._send_alone(item)
        replied: asyncio.Future[O] = asyncio.get_running_loop().create_future()

        def reply(value: O | BaseException) -> None:
            if replied.done():
                return  # whoever asked was cancelled
            if isinstance(value, BaseException):
                replied.set_exception(value)
            else:
                replied.set_result(value)

        self.put(item, reply)
        return await replied

    async def _send_alone(self, item: I) -> O:
        """Save the task that would send it, and the turn of the loop in which that begins."""
        sent = self._sending = asyncio.get_running_loop().create_future()
        try:
            (reply,) = await self._send([item])
        finally:
            sent.set_result(None)
            self._sending = asyncio.create_task(self._send_all()) if self._line else None
        return reply

    async def drain(self) -> None:
        """Wait until everything that was handed in has been sent."""
        while self._sending is not None:
            await asyncio.wait([self._sending])

    async def aclose(self) -> None:
        """Send no more; what is left is answered with a cancellation. Who sends alone is left to it."""
        left = list(self._line)
        if isinstance(self._sending, asyncio.Task):
            await end(self._sending)
        elif left:
            self._line.clear()
            _answer(left, [asyncio.CancelledError()] * len(left))

    async def _send_all(self) -> None:
        try:
            while self._line:
                group = [self._line.popleft() for _ in range(min(self._most, len(self._line)))]
                try:
                    replies: Sequence[O | BaseException] = await self._send([item for item, _ in group])
                except asyncio.CancelledError as error:
                    group += self._line
                    self._line.clear()
                    _answer(group, [error] * len(group))
                    raise
                except Exception as error:  # noqa: BLE001 -- it belongs to those who handed the items in
                    replies = [error] * len(group)
                _answer(group, replies)
        finally:
            self._sending = None


def _answer(
    group: list[tuple[I, Callable[[O | BaseException], None]]], replies: Sequence[O | BaseException]
) -> None:
    for (_, on_reply), reply in zip(group, replies, strict=True):
        on_reply(reply)
