"""Redis behind Sentinel: an address that names the watchers and the service instead of one server.

``redis+sentinel://[user:password@]host[:port][,host[:port]…]/service[/database]`` asks the watchers which server is the
master, for each connection anew: after a failover the next command goes to the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import redis
from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel

SCHEME: Final = "redis+sentinel://"
_PORT: Final = 26_379
_ASK_SECONDS: Final = 0.5
"""Watchers answer in a millisecond; the next one is asked instead."""


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """What an address names.

    Attributes:
        watchers: Host and port of each Sentinel.
        service: What they call the group of servers.
        login: User, password and database of the servers.
    """

    watchers: tuple[tuple[str, int], ...]
    service: str
    login: dict[str, Any]

    @classmethod
    def parse(cls, url: str) -> SentinelAddress:
        """Read an address.

        Raises:
            ValueError: It names no watcher or no service.
        """
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        service, _, database = parts.path.strip("/").partition("/")
        if not hosts or not service:
            raise ValueError(
                "an address with Sentinel is redis+sentinel://host:port,host:port/service/database"
            )
        user, _, password = credentials.partition(":")
        login: dict[str, Any] = {"db": int(database or 0)}
        if user:
            login["username"] = unquote(user)
        if password:
            login["password"] = unquote(password)
        return cls(tuple(map(_host_and_port, hosts.split(","))), service, login)

    def master(self, **options: Any) -> Redis:
        """A client of whichever server is the master."""
        watched = _untyped(AsyncSentinel)(self.watchers, sentinel_kwargs=_ASKING)
        client: Redis = watched.master_for(self.service, redis_class=_Master, **self.login, **options)
        return client

    def master_for_thread(self, **options: Any) -> redis.Redis:
        """As ``master``, for a thread of its own."""
        watched = _untyped(Sentinel)(self.watchers, sentinel_kwargs=_ASKING)
        client: redis.Redis = watched.master_for(
            self.service, redis_class=_MasterForThread, **self.login, **options
        )
        return client


class _Master(Redis):
    """Closes its connections to the watchers, too, which redis-py leaves open."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001 -- redis-py's
        await super().aclose(close_connection_pool)
        for watcher in _untyped(self.connection_pool).sentinel_manager.sentinels:
            await watcher.aclose()


class _MasterForThread(redis.Redis):
    """See ``_Master``."""

    def close(self) -> None:
        super().close()
        for watcher in _untyped(self.connection_pool).sentinel_manager.sentinels:
            watcher.close()


_ASKING: Final = {"socket_timeout": _ASK_SECONDS, "socket_connect_timeout": _ASK_SECONDS}


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.strip().rpartition(":")
    return (host, int(port)) if host else (port, _PORT)


def _untyped(value: Any) -> Any:
    """Give something of redis-py's that has no annotations."""
    return value
