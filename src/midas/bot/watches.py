"""What the bot has promised to report later, kept in Redis, so that a restarted bot keeps the promise."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

import msgspec

from midas.bot import keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from midas.redis import Availability

Kind: TypeAlias = Literal["categorization", "analyze_spending", "budget_recommendation", "find_anomalies"]

_ANSWER_SECONDS: Final = 0.5
"""A person waits while a promise is written down."""


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """A promise: when these tasks have ended, this chat is told how."""

    id: str
    chat_id: int
    user_id: int
    kind: Kind
    task_ids: tuple[str, ...]
    transaction_ids: tuple[int, ...] = ()
    """What the tasks are about, for a categorization."""
    began_at: float
    """Seconds since 1970."""

    def age_seconds(self) -> float:
        """Return how long ago the promise was made."""
        return max(0.0, time.time() - self.began_at)


class WatchBook:
    """The promises that are open."""

    def __init__(self, redis: Redis, availability: Availability) -> None:
        """Keep them in `redis`; `availability` is told whether it answered."""
        self._redis = redis
        self._availability = availability

    async def write(self, watch: Watch) -> None:
        """Remember a promise.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        line = msgspec.json.encode(watch)
        await self._availability.ask(
            "bot.watch",
            lambda: _awaitable(self._redis.hset(keys.WATCHES, watch.id, line)),
            within=_ANSWER_SECONDS,
        )

    async def strike(self, watch_id: str) -> None:
        """Forget a promise that was kept.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        await self._availability.ask(
            "bot.unwatch",
            lambda: _awaitable(self._redis.hdel(keys.WATCHES, watch_id)),
            within=_ANSWER_SECONDS,
        )

    async def read(self) -> list[Watch]:
        """Return the open promises, the oldest first; a line that cannot be read is left out.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        lines: dict[bytes, bytes] = await self._availability.ask(
            "bot.watches", lambda: _awaitable(self._redis.hgetall(keys.WATCHES)), within=_ANSWER_SECONDS
        )
        found = [watch for watch in map(_decode, lines.values()) if watch is not None]
        return sorted(found, key=lambda watch: watch.began_at)


def _decode(line: bytes) -> Watch | None:
    try:
        return msgspec.json.decode(line, type=Watch)
    except msgspec.MsgspecError:
        return None


def _awaitable(reply: object) -> Awaitable[dict[bytes, bytes]]:
    # redis-py types each reply for sync and async at once.
    return cast("Awaitable[dict[bytes, bytes]]", reply)
