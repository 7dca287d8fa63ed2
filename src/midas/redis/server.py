"""Looks at a Redis server before it is trusted with work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from midas.redis.connection import place_of
from midas.redis.errors import UnsafeServer

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from midas.redis.connection import Availability

OLDEST: Final = (6, 2)
"""Exclusive ranges (``XRANGE key (id +``) and idle filters came with 6.2."""
WAITAOF_SINCE: Final = (7, 2)


async def check_server(
    redis: Redis, availability: Availability, what: str, *, needs_waitaof: bool, within: float
) -> None:
    """Refuse a server that would lose work.

    Args:
        redis: The server's client.
        availability: Is told whether it answered.
        what: What it is to keep, in the plural, such as ``tasks``.
        needs_waitaof: Whether it must be able to say when its disk has something.
        within: Seconds after which it counts as away.

    Raises:
        UnsafeServer: It is too old, or may evict what was stored.
        QueueUnavailable: It does not answer.
    """
    known = await availability.ask("", lambda: cast("Any", redis.info()), within=within)
    version, place = str(known.get("redis_version", "0")), place_of(redis)
    if _numbers(version) < OLDEST:
        raise UnsafeServer(
            f"Redis at {place} is version {version}, and {what} need {_text(OLDEST)} or later: use a newer server"
        )
    if needs_waitaof and _numbers(version) < WAITAOF_SINCE:
        raise UnsafeServer(
            f"Redis at {place} is version {version}, and waiting for its disk needs {_text(WAITAOF_SINCE)}: "
            "set Durability(local_disk=False), or appendfsync always in the server"
        )
    policy = str(known.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        raise UnsafeServer(
            f"Redis at {place} throws away any key when memory is short (maxmemory-policy {policy}), {what} included: "
            f"set maxmemory-policy noeviction, or use a server of its own for {what}"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
