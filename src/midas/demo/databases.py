"""PostgreSQL and Redis: embedded ones, or those that ``DATABASE_URL`` and ``REDIS_URL`` name; ready and migrated."""

import asyncio
import time

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from midas.demo.folder import DataFolder
from midas.demo.kept import KeptServer, Say
from midas.demo.servers import PostgresServer, RedisServer
from midas.errors import QueueUnavailable
from midas.redis import place_of, reason_of
from midas.settings import Settings, without_password
from midas.store import migrations

__all__ = ["Databases"]

_CONNECT_SECONDS = 5.0


class Databases:
    """Makes and starts what is not given.

    Args:
        settings: Names the given ones.
        folder: Where embedded ones live.
        say: Takes one line for the person at the screen.
    """

    def __init__(self, settings: Settings, folder: DataFolder, say: Say) -> None:
        self.postgres: KeptServer | None = None
        self.redis: KeptServer | None = None
        self._settings = settings
        self._folder = folder
        self._say = say

    @property
    def urls(self) -> dict[str, str]:
        """Return ``DATABASE_URL`` and ``REDIS_URL`` as they are in use; embedded ones have theirs once started."""
        return {
            "DATABASE_URL": self.postgres.server.url if self.postgres else self._settings.database_url,
            "REDIS_URL": self.redis.server.url if self.redis else self._settings.redis_url,
        }

    def make(self) -> list[KeptServer]:
        """Return the servers to be kept, not yet started."""
        if not self._settings.database_url:
            home = self._folder.place("postgres")
            self.postgres = KeptServer(PostgresServer(home, keep=self._folder.keep))
        if not self._settings.redis_url:
            self.redis = KeptServer(RedisServer(self._folder.place("redis")))
        return [server for server in (self.postgres, self.redis) if server is not None]

    async def start_postgres(self) -> None:
        """Start PostgreSQL, or find the given one, and apply the migrations.

        Raises:
            ServerStartError: The embedded one does not come up.
            StoreUnavailable: The given one does not answer.
            MigrationError: A migration does not apply.
        """
        if self.postgres is not None:
            await self._start(self.postgres)
        began = time.monotonic()
        applied = await migrations.apply(self.urls["DATABASE_URL"])
        what = f"{len(applied)} migrations applied" if applied else "no migration missing"
        where = "" if self.postgres else f" at {without_password(self._settings.database_url)}"
        self._say(f"database{where}: {what} in {time.monotonic() - began:.1f} s")

    async def start_redis(self) -> None:
        """Start Redis, or find the given one.

        Raises:
            ServerStartError: The embedded one does not come up.
            QueueUnavailable: The given one does not answer.
        """
        if self.redis is not None:
            await self._start(self.redis)
            return
        url = self._settings.redis_url
        client = Redis.from_url(url, retry=Retry(NoBackoff(), 0))
        try:
            async with asyncio.timeout(_CONNECT_SECONDS), client:
                await client.ping()
        except (RedisError, OSError) as error:
            raise QueueUnavailable(place_of(client), reason_of(error)) from error
        self._say(f"Redis at {without_password(url)} answers")

    async def _start(self, kept: KeptServer) -> None:
        await kept.start()
        server = kept.server
        self._say(
            f"{server.name} {server.version} ready in {server.started_in_seconds:.1f} s (pid {server.pid})"
        )
