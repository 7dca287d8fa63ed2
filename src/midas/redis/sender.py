"""Sends scripts to Redis from the event loop: by hash, with the whole script where the server does not know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, ResponseError

from midas.redis.lines import Lines

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from midas.redis.connection import Availability
    from midas.redis.lines import Command
    from midas.redis.scripts import Call


class Sender:
    """Sends calls of scripts.

    Args:
        client: Where to.
        availability: Is told whether it answered.
    """

    def __init__(self, client: Redis, availability: Availability) -> None:
        self._lines = Lines(client)
        self._availability = availability

    async def send(self, call: Call, *, within: float) -> Any:
        """Send a call and give the script's reply. A server that was restarted is taught the script again.

        Args:
            call: What to do.
            within: Seconds after which Redis counts as away. The script may have run nevertheless: all of ours may be
                repeated with the same arguments.

        Raises:
            QueueUnavailable: Redis is away.
        """
        (reply,) = await self._availability.ask(
            call.script.operation, lambda: self._exchange(call), within=within
        )
        return reply

    async def send_when(self, woken_by: Command, call: Call, *, within: float) -> Any:
        """Send a command that blocks until there is something to do, and the call behind it, in one trip.

        The duration is not measured: it would drown those of other operations.

        Args:
            woken_by: What the server does first. Its reply is dropped.
            call: What to do then.
            within: See ``send``; longer than the command blocks.

        Raises:
            QueueUnavailable: Redis is away.
        """
        _, reply = await self._availability.ask(
            "", lambda: self._exchange(call, before=(woken_by,)), within=within
        )
        return reply

    async def send_and(self, call: Call, then: Command, *, within: float) -> tuple[Any, Any]:
        """Send a call and another command, such as ``WAIT``, on one connection; give the replies of both.

        Raises:
            QueueUnavailable: Redis is away.
        """
        reply, confirmed = await self._availability.ask(
            call.script.operation, lambda: self._exchange(call, after=(then,)), within=within
        )
        return reply, confirmed

    async def _exchange(
        self, call: Call, before: tuple[Command, ...] = (), after: tuple[Command, ...] = ()
    ) -> list[Any]:
        script = call.script
        run: Command = ("EVALSHA", script.sha, len(call.keys), *call.keys, *call.arguments)
        replies = await self._lines.exchange(*before, run, *after)
        at = len(before)
        if isinstance(replies[at], NoScriptError):
            _, *again = await self._lines.exchange(("SCRIPT LOAD", script.text), run, *after)
            replies[at:] = again
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies
