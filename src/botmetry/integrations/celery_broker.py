"""What Celery's Redis broker knows: waiting and unacknowledged tasks, and who has shown signs of life there.

Waiting tasks lie in a list for each step of priority, those that workers hold in one hash (kombu.transport.redis). Of
workers and beat a broker knows nothing that outlives them: it holds connections, and one that is gone says nothing. So
they note themselves in two hashes, by the clock of the Redis server, which is the same for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final, NamedTuple

from botmetry.metrics.catalogue import OTHER
from botmetry.metrics.forks import in_children
from botmetry.telemetry import CeleryState

__all__ = ["BEAT", "HEARTBEAT_SECONDS", "WORKERS", "Broker", "is_redis"]

WORKERS: Final = "botmetry.celery.workers"
BEAT: Final = "botmetry.celery.beat"
"""Hashes at the broker: Unix time of the last sign of life, by worker, and of the last run, by schedule."""

HEARTBEAT_SECONDS: Final = 10.0
_LOST_AFTER_SECONDS: Final = 45.0  # four heartbeats: one may be late, and a broker is restarted in less
_FORGOTTEN_AFTER_SECONDS: Final = 86_400.0  # names of containers never come back
_SOCKET_SECONDS: Final = 2.0
_PAGE: Final = 500

# The hash of unacknowledged messages has JSON lists of a message, its exchange and its routing key. Only the key is
# wanted, and a message may be a megabyte.
_ROUTING_KEY = re.compile(rb'"([^"\\]*)"\]\s*\Z')


def is_redis(app: Any) -> bool:
    """Return whether an app's broker is one that can be asked."""
    url = str(app.conf.broker_read_url or app.conf.broker_url or "")
    return url.split("://", maxsplit=1)[0] in {"redis", "rediss", "redis+socket", "sentinel"}


class _Client(NamedTuple):
    """A connection, and how kombu calls its keys."""

    redis: Any
    channel: Any

    def key(self, name: str) -> str:
        return f"{getattr(self.channel, 'global_keyprefix', '')}{name}"

    def now(self) -> float:
        seconds, micro = self.redis.time()
        return float(seconds + micro / 1e6)


class Broker:
    """Asks and tells the Redis of one app. Safe to use from threads and in forked processes."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = Lock()
        self._kept: _Client | None = None
        in_children(self._forget_connection)

    def state(self) -> CeleryState:
        """Return the broker's state now.

        Raises:
            Exception: It cannot be reached or does not answer in time: the client's own error.
        """
        with self._client() as client:
            queues: Mapping[str, Any] = dict(self._app.amqp.queues)
            return CeleryState(
                _lengths(client, queues), _unacked(client, queues), _workers(client), _beat(client)
            )

    def note(self, place: str, name: str) -> None:
        """Note a sign of life in `WORKERS` or `BEAT`, now."""
        with self._client() as client:
            client.redis.hset(client.key(place), name, f"{client.now():.3f}")

    def forget(self, place: str, name: str) -> None:
        """Take a note back: who stops in order is not lost."""
        with self._client() as client:
            client.redis.hdel(client.key(place), name)

    @contextmanager
    def _client(self) -> Iterator[_Client]:
        if not self._lock.acquire(timeout=2 * _SOCKET_SECONDS):
            raise TimeoutError("the broker has not answered the call before this one yet")
        try:
            if self._kept is None:
                self._kept = self._connect()
            yield self._kept
        except BaseException:
            self._kept = None  # and what it was doing is not known: the next call connects anew
            raise
        finally:
            self._lock.release()

    def _connect(self) -> _Client:
        import redis  # noqa: PLC0415 -- it comes with the broker

        impatient = {"socket_timeout": _SOCKET_SECONDS, "socket_connect_timeout": _SOCKET_SECONDS}
        # `channel()` tries once, where `default_channel` would go on trying for as long as the broker is away.
        channel = self._app.connection_for_write(transport_options=impatient).channel()
        # kombu's own client puts its prefix before the keys of some commands, and of others not.
        return _Client(redis.Redis(connection_pool=channel.pool), channel)

    def _forget_connection(self) -> None:
        self._lock = Lock()
        self._kept = None


def _lengths(client: _Client, queues: Mapping[str, Any]) -> dict[tuple[str, int], int]:
    channel = client.channel
    places = [(name, int(step)) for name in queues for step in channel.priority_steps]
    with client.redis.pipeline(transaction=False) as pipe:
        for name, step in places:
            pipe.llen(client.key(f"{name}{channel.sep}{step}" if step else name))
        return dict(zip(places, pipe.execute(), strict=True))


def _unacked(client: _Client, queues: Mapping[str, Any]) -> dict[str, int]:
    by_routing_key = {str(queue.routing_key): name for name, queue in queues.items()}
    found = dict.fromkeys(queues, 0)
    for _, message in client.redis.hscan_iter(client.key(client.channel.unacked_key), count=_PAGE):
        match = _ROUTING_KEY.search(message[-512:])
        routing_key = match[1].decode("utf-8", "replace") if match else ""
        queue = routing_key if routing_key in queues else by_routing_key.get(routing_key, OTHER)
        found[queue] = found.get(queue, 0) + 1
    return found


def _workers(client: _Client) -> dict[str, int]:
    now, place = client.now(), client.key(WORKERS)
    ages = {name: now - float(at) for name, at in client.redis.hgetall(place).items()}
    gone = [name for name, age in ages.items() if age > _FORGOTTEN_AFTER_SECONDS]
    if gone:
        client.redis.hdel(place, *gone)
    online = sum(1 for age in ages.values() if age <= _LOST_AFTER_SECONDS)
    return {"online": online, "lost": len(ages) - len(gone) - online}


def _beat(client: _Client) -> dict[str, float]:
    return {
        name.decode("utf-8", "replace"): float(at)
        for name, at in client.redis.hgetall(client.key(BEAT)).items()
    }
