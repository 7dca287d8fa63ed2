"""Sends scripts to Redis from the event loop: by hash, with the whole script where the server does not know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

    async def send_and_wait(self, call: Call, wait: Sequence[str | int], *, within: float) -> tuple[Any, Any]:
        """Send a call and, on the same connection, a ``WAIT`` or ``WAITAOF``; give both replies.

        Args:
            call: What to do.
            wait: The command that waits.
            within: See ``send``.

        Raises:
            QueueUnavailable: Redis is away.
        """
        script = self._client.register_script(call.script.text)

        async def both() -> Any:
            async with self._client.pipeline(transaction=False) as pipeline:
                await script(keys=call.keys, args=call.arguments, client=pipeline)
                pipeline.execute_command(*wait)
                return await pipeline.execute()

        reply, confirmed = await self._availability.ask(call.script.operation, both, within=within)
        return reply, confirmed
