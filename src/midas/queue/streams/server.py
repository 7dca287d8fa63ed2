"""Looks at a Redis server before it is trusted with tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from midas.queue.errors import UnsafeServer

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from midas.redis import Availability

OLDEST: Final = (6, 2)
"""Exclusive ranges (``XRANGE key (id +``) and idle filters came with 6.2."""
WAITAOF_SINCE: Final = (7, 2)
_CHECK_SECONDS: Final = 5.0


async def check_server(redis: Redis, availability: Availability, *, needs_waitaof: bool) -> None:
    """Refuse a server that would lose tasks.

    Raises:
        UnsafeServer: It is too old, or may evict what was stored.
        QueueUnavailable: It does not answer.
    """
    known = await availability.ask("", lambda: cast("Any", redis.info()), within=_CHECK_SECONDS)
    version = str(known.get("redis_version", "0"))
    if _numbers(version) < OLDEST:
        raise UnsafeServer(f"this Redis is version {version}; the queue needs {_text(OLDEST)} or later")
    if needs_waitaof and _numbers(version) < WAITAOF_SINCE:
        raise UnsafeServer(
            f"this Redis is version {version}, and waiting for its disk needs {_text(WAITAOF_SINCE)}: "
            "set Durability(local_disk=False), or appendfsync always in the server"
        )
    policy = str(known.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        raise UnsafeServer(
            f"this Redis throws away any key when memory is short (maxmemory-policy {policy}), tasks included: "
            "set maxmemory-policy noeviction, or use a server of its own for tasks"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
