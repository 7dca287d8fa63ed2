"""Sends scripts to Redis from the event loop: by hash, with the whole script where the server does not know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

    from midas.redis.connection import Availability
    from midas.redis.scripts import Call, Script


class Sender:
    """Sends calls of scripts.

    Args:
        client: Where to.
        availability: Is told whether it answered.
    """

    def __init__(self, client: Redis, availability: Availability) -> None:
        self._client = client
        self._availability = availability
        self._registered: dict[Script, AsyncScript] = {}

    async def send(self, call: Call, *, within: float) -> Any:
        """Send a call and give the script's reply. A server that was restarted is taught the script again.

        Args:
            call: What to do.
            within: Seconds after which Redis counts as away. The script may have run nevertheless: all of ours may be
                repeated with the same arguments.

        Raises:
            QueueUnavailable: Redis is away.
        """
        script = self._registered.get(call.script)
        if script is None:
            script = self._registered[call.script] = self._client.register_script(call.script.text)
        return await self._availability.ask(
            call.script.operation, lambda: script(keys=call.keys, args=call.arguments), within=within
        )

    async def send_beside(
        self,
        call: Call,
        *,
        before: Sequence[str | int | float] = (),
        after: Sequence[str | int | float] = (),
        within: float,
    ) -> tuple[Any, Any]:
        """Send a call and another command in one trip, on one connection; give the replies of both, the call's first.

        Args:
            call: What to do.
            before: A command that goes first, such as one that blocks until there is something to do.
            after: A command that goes last, such as ``WAIT`` or ``WAITAOF``. One of the two is given.
            within: See ``send``. An operation that waits first is not measured: it would drown the others.

        Raises:
            QueueUnavailable: Redis is away.
        """
        script = self._client.register_script(call.script.text)

        async def both() -> Any:
            async with self._client.pipeline(transaction=False) as pipeline:
                if before:
                    pipeline.execute_command(*before)
                await script(keys=call.keys, args=call.arguments, client=pipeline)
                if after:
                    pipeline.execute_command(*after)
                return await pipeline.execute()

        operation = "" if before else call.script.operation
        try:
            replies = await self._availability.ask(operation, both, within=within)
        except NoScriptError:
            # The server forgot its scripts after it was asked whether it knows this one.
            replies = await self._availability.ask(operation, both, within=within)
        return (replies[1], replies[0]) if before else (replies[0], replies[1])
