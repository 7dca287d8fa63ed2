"""Redis as something that goes away and comes back: made, named without its password, and watched in one place.

``connect`` makes the client. ``Availability`` turns every way in which Redis can be missing into one
``QueueUnavailable``, counts each, logs only the change from there to away and back, and says how long to wait.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import redis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from midas.errors import QueueUnavailable
from midas.redis.cancellation import cancellations, raise_if_cancelled
from midas.redis.packing import pack_with_hiredis
from midas.redis.sentinel import SCHEME, SentinelAddress

if TYPE_CHECKING:
    from botmetry import Telemetry

T = TypeVar("T")

SOCKET_SECONDS: Final = 5.0
"""A reply that takes longer never comes: the slowest of our scripts takes milliseconds."""
CONNECT_SECONDS: Final = 1.0
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0

_AWAY: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    ReadOnlyError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    TimeoutError,
    OSError,
)

_REFUSALS: Final = ("MISCONF", "NOREPLICAS", "BUSY ")
"""It cannot save to disk, has lost its replicas, or is held up by a script: it may be well again in a moment, and
redis-py has no classes for these."""
_REFUSED_IN_SCRIPT: Final = ("-OOM ", "-READONLY ", "-MISCONF ", "-NOREPLICAS ")
"""Redis 6.2 wraps what a command in a script answered into "ERR Error running script"."""


def connect(redis_url: str, *, max_connections: int = 64) -> Redis:
    """Make a client that reconnects by itself: two further attempts, with jitter, within half a second.

    Nothing is sent yet. Close it with ``aclose()``. When all connections are in use, commands wait for one: a burst of
    a thousand commands is no reason for a thousand connections, nor for an error.

    Raises:
        ValueError: The address is none.
    """
    options: dict[str, Any] = {
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "max_connections": max_connections,
        "retry": Retry(ExponentialWithJitterBackoff(base=_FIRST_PAUSE, cap=0.2), retries=2),
    }
    if redis_url.startswith(SCHEME):
        client = SentinelAddress.parse(redis_url).master(**options)
    else:
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            redis_url, timeout=SOCKET_SECONDS, **options
        )
        client = Redis.from_pool(pool)
    pack_with_hiredis(client.connection_pool)
    return client


def connect_from_thread(redis_url: str) -> redis.Redis:
    """Make a client for a thread of its own. It does not repeat: whoever uses it comes again soon anyway.

    Raises:
        ValueError: The address is none.
    """
    options: dict[str, Any] = {
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": None,
    }
    if redis_url.startswith(SCHEME):
        return SentinelAddress.parse(redis_url).master_for_thread(**options)
    client: redis.Redis = redis.Redis.from_url(redis_url, **options)
    return client


def place_of(client: Redis | redis.Redis) -> str:
    """Say where a client's server is, ``host:port/database`` or the socket's path, and no more than that."""
    settings = client.connection_pool.connection_kwargs
    database = settings.get("db") or 0
    if service := getattr(client.connection_pool, "service_name", None):
        return f"{service} behind Sentinel, database {database}"
    if "path" in settings:
        return f"{settings['path']} database {database}"
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}/{database}"


def pool_state(client: Redis) -> dict[str, int]:
    """Count a client's connections by state: idle, in_use and max; made for ``telemetry.redis.watch_pool``."""
    pool = client.connection_pool
    (idle, _), (in_use, _) = pool.get_connection_count()
    return {"idle": idle, "in_use": in_use, "max": pool.max_connections}


class Availability:
    """Knows whether Redis answers. May be told by any thread.

    Args:
        client: Whose server is meant.
        telemetry: Where changes are logged and failures counted.
    """

    def __init__(self, client: Redis, telemetry: Telemetry) -> None:
        self._place = place_of(client)
        self._telemetry = telemetry
        self._failures = 0
        self._lock = threading.Lock()
        # Redis goes away for the whole process: the line about it must not carry the user whose task noticed first.
        self._context = copy_context()

    @property
    def is_there(self) -> bool:
        """Whether the last attempt was answered."""
        return self._failures == 0

    async def ask(self, operation: str, command: Callable[[], Awaitable[T]], *, within: float) -> T:
        """Run one command.

        Args:
            operation: What it is called in metrics and traces; empty for one that merely waits, which would drown the
                durations of the others.
            command: Starts it; is called once.
            within: Seconds after which Redis counts as away.

        Raises:
            QueueUnavailable: Redis is away, or cannot write.
        """
        # While Redis is known to be away, each attempt would be one more line of error in the log.
        measured = (
            self._telemetry.redis.operation(operation) if operation and self.is_there else nullcontext()
        )
        cancelled_before = cancellations()
        try:
            with measured:
                async with asyncio.timeout(within):
                    reply = await command()
                raise_if_cancelled(cancelled_before)
        except _AWAY as error:
            raise self.missed(error) from error
        except ResponseError as error:
            if not _is_refusal(str(error)):
                raise
            raise self.missed(error) from error
        self.answered()
        return reply

    def missed(self, error: BaseException) -> QueueUnavailable:
        """Take note that Redis did not answer, and give the error to raise."""
        with self._lock:
            self._failures += 1
            changed = self._failures == 1
        self._telemetry.redis.connection_error()
        unavailable = QueueUnavailable(self._place, reason_of(error), *_advice_on(error))
        if changed:
            self._log(self._telemetry.log.warning, "redis.lost", message=str(unavailable))
        return unavailable

    def answered(self) -> None:
        """Take note that Redis answered."""
        if self._failures == 0:
            return
        with self._lock:
            failures, self._failures = self._failures, 0
        if failures:
            self._log(self._telemetry.log.info, "redis.found", failed_attempts=failures)

    async def pause(self, at_most: float) -> None:
        """Wait as long as becomes the number of failures: 50 ms, doubling, up to a second, each with jitter.

        The jitter keeps workers that lost Redis together from coming back together.
        """
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures, 10))
        await asyncio.sleep(min(at_most, random.uniform(longest / 2, longest)))  # noqa: S311 -- not a secret

    def _log(self, write: Callable[..., None], event: str, **fields: object) -> None:
        self._context.copy().run(partial(write, event, place=self._place, **fields))


def _is_refusal(text: str) -> bool:
    return text.startswith(_REFUSALS) or any(sign in text for sign in _REFUSED_IN_SCRIPT)


def _advice_on(error: BaseException) -> tuple[str, ...]:
    if isinstance(error, OutOfMemoryError) or "-OOM " in str(error):
        return ("give it more maxmemory, or let the workers empty its queues",)
    return ()


def reason_of(error: BaseException) -> str:
    """Say in a few words what is wrong, and never the password that was refused."""
    if isinstance(error, AuthenticationError):
        return "it refuses the user or password in REDIS_URL"
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return "no answer in time"
    refusal = None if isinstance(error, ResponseError) else _first_of_the_system(error)
    return refusal or " ".join(str(error).split())[:200] or type(error).__name__


def _first_of_the_system(error: BaseException) -> str | None:
    """Return the system's own words: redis-py wraps them once, and once more where it tried again."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.errno is not None:
            return (
                os.strerror(link.errno) if link.errno > 0 else link.strerror
            )  # below 0: a name was not resolved
        link = link.__cause__ or link.__context__
    return None
