"""Packs commands with hiredis, as redis-py does for blocking connections only: a third of what a large call costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hiredis
from redis.asyncio.connection import AbstractConnection

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool


class _PackedByHiredis(AbstractConnection):
    """An asyncio connection whose commands are packed in C."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """Pack a command; a name of two words, such as ``CLIENT SETNAME``, becomes two arguments."""
        name = args[0].encode() if isinstance(args[0], str) else args[0]
        return [hiredis.pack_command((*name.split(), *args[1:]))]


def pack_with_hiredis(pool: ConnectionPool) -> None:
    """Have the connections that a pool will make pack their commands with hiredis."""
    plain = pool.connection_class
    pool.connection_class = type(f"Packed{plain.__name__}", (_PackedByHiredis, plain), {})
