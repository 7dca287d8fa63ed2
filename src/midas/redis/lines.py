"""Connections that are kept between calls: a call costs half of what it costs through the client and its pool.

The pool asks a connection whether it is still good each time it hands one out, and times every write and every read.
Here a connection is used until it fails, what bounds a call is the caller's timeout around all of it, and several
commands go in one write. That also avoids ``asyncio.wait_for`` (see ``midas.redis.cancellation``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

Command: TypeAlias = "Sequence[str | int | float | bytes]"

_SHARE_KEPT: Final = 4
"""A fourth of the pool's connections may be kept: subscriptions and others need some, too."""


def most_kept(max_connections: int) -> int:
    """How many of a pool's connections the lines keep at most, 1 or more."""
    return max(1, max_connections // _SHARE_KEPT)


class Lines:
    """A client's connections, kept by whoever calls often.

    Args:
        client: Whose pool the connections are from; closing it closes them.
    """

    def __init__(self, client: Redis) -> None:
        self._pool = client.connection_pool
        self._retry = client.get_retry() or Retry(NoBackoff(), 0)
        self._most = most_kept(self._pool.max_connections)
        self._idle: list[AbstractConnection] = []
        self._timeout: float | None = None

    async def exchange(self, *commands: Command) -> list[Any]:
        """Send commands in one write and give their replies; the error that one was answered with is its reply.

        When the connection is lost on the way all are sent again, at once and then as often as the client's settings
        say; so they must be such that may be repeated. Nothing here ends a wait: put a timeout around it.

        Raises:
            redis.exceptions.ConnectionError: There is no server, or it went away.
        """
        connection = self._idle.pop() if self._idle else await self._from_pool()
        try:
            try:
                return await _exchange(connection, commands)
            except RedisConnectionError:
                pass  # the server may have closed it long ago
            replies: list[Any] = await self._retry.call_with_retry(
                lambda: _exchange(connection, commands), _nothing_to_undo
            )
            return replies
        finally:
            if connection.is_connected and len(self._idle) < self._most:
                self._idle.append(connection)
            else:
                connection.socket_timeout = self._timeout
                await self._pool.release(connection)

    async def _from_pool(self) -> AbstractConnection:
        connection: AbstractConnection = await cast("Any", self._pool).get_connection()
        self._timeout, connection.socket_timeout = connection.socket_timeout, None
        return connection


async def _exchange(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    try:
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        return [await _read(connection) for _ in commands]
    except BaseException:  # a cancellation, too: what is not read yet would be the next call's reply
        await connection.disconnect(nowait=True)
        raise


async def _read(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


async def _nothing_to_undo(_: Exception) -> None:
    """The connection was closed where it failed."""
