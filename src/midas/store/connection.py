"""The one door to PostgreSQL: a pool whose failures arrive as ``StoreUnavailable``.

Every statement passes through ``Session``, so the translation of errors is written once. The
pool opens connections when they are needed; one that died with its server is replaced at the next use, which is
how the pool survives a restart of PostgreSQL.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from botmetry.integrations.asyncpg import instrument
from midas.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from botmetry import Telemetry

CONNECT_SECONDS: Final = 5.0
"""A server on the same network answers in milliseconds; five seconds outlast a lost packet or two."""

STATEMENT_SECONDS: Final = 30.0
"""No statement of midas takes a second; one that waits this long waits for a lock that will not come free."""

POOL_SIZE: Final = 10
"""Connections a process at most: three processes stay far below PostgreSQL's default of 100."""

UNAVAILABLE: Final = (
    OSError,  # refused, reset, unreachable, and TimeoutError
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down by an administrator, or still starting
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.InvalidAuthorizationSpecificationError,  # wrong user or password
    asyncpg.InvalidCatalogNameError,  # no such database
    asyncpg.InternalClientError,  # the conversation was cut off in the middle
)
"""Everything that says: not now. Other errors of asyncpg are faults in a statement or its arguments."""


class Session:
    """Runs statements on one connection."""

    __slots__ = ("_connection", "_place")

    def __init__(self, connection: Any, place: str) -> None:
        self._connection = connection
        self._place = place

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Run the statement and give all its rows."""
        with _translated(self._place):
            rows: list[asyncpg.Record] = await self._connection.fetch(query, *arguments)
        return rows

    async def row(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """Run the statement and give its first row, or None."""
        with _translated(self._place):
            return await self._connection.fetchrow(query, *arguments)

    async def run_many(self, query: str, arguments: Sequence[tuple[object, ...]]) -> None:
        """Run the statement once for each tuple of arguments, all or none."""
        with _translated(self._place):
            await self._connection.executemany(query, arguments)


class Database:
    """A pool of connections; each method takes one, uses it and gives it back."""

    def __init__(self, pool: Any, place: str) -> None:
        self._pool = pool
        self._place = place

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Lend one connection.

        Raises:
            StoreUnavailable: No connection can be had.
        """
        with _translated(self._place):
            connection = await self._pool.acquire(timeout=CONNECT_SECONDS)
        try:
            yield Session(connection, self._place)
        finally:
            with _translated(self._place):
                await self._pool.release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Lend one connection for a transaction: committed at the end, rolled back when the body raises.

        Raises:
            StoreUnavailable: PostgreSQL went away; whether a commit under way took place is then unknown.
        """
        async with self.session() as session:
            with _translated(self._place):
                transaction = session._connection.transaction()  # noqa: SLF001 -- two classes of one idea
                await transaction.start()
            try:
                yield session
            except BaseException:
                with _translated(self._place):
                    await transaction.rollback()
                raise
            with _translated(self._place):
                await transaction.commit()

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Run the statement and give all its rows."""
        async with self.session() as session:
            return await session.rows(query, *arguments)

    async def row(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """Run the statement and give its first row, or None."""
        async with self.session() as session:
            return await session.row(query, *arguments)


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a single connection, outside any pool.

    Raises:
        StoreUnavailable: PostgreSQL does not answer, or goes away in the body.
    """
    place = place_of(database_url)
    with _translated(place):
        connection = await asyncpg.connect(
            database_url,
            timeout=CONNECT_SECONDS,
            server_settings={"application_name": "midas", "timezone": "UTC"},
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=CONNECT_SECONDS)


@asynccontextmanager
async def pooled(database_url: str, telemetry: Telemetry | None = None) -> AsyncIterator[Database]:
    """Open a pool, with one connection made at once so that a wrong address fails here.

    With `telemetry`, every statement, the waits for a connection and the pool's state are observed.

    Raises:
        StoreUnavailable: PostgreSQL does not answer.
    """
    place = place_of(database_url)
    with _translated(place):
        pool = await asyncpg.create_pool(
            database_url,
            min_size=1,
            max_size=POOL_SIZE,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            server_settings={"application_name": "midas", "timezone": "UTC"},
        )
    stop_observing = None if telemetry is None else instrument(pool, telemetry)
    try:
        yield Database(pool, place)
    finally:
        if stop_observing is not None:
            stop_observing()
        await _close(pool)


def place_of(database_url: str) -> str:
    """Give ``host:port/database`` for messages; neither user nor password is part of it."""
    try:
        parts = urlsplit(database_url)
        host, port = parts.hostname, parts.port or 5432
    except ValueError:
        return "an address that cannot be read"
    host = host or parse_qs(parts.query).get("host", ["localhost"])[0]
    return f"{host}:{port}/{unquote(parts.path.lstrip('/'))}"


async def _close(pool: Any) -> None:
    """Let statements under way finish, for a short while; then drop the connections."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await pool.close()
    except (TimeoutError, *UNAVAILABLE, asyncpg.InterfaceError):
        pool.terminate()


@contextmanager
def _translated(place: str) -> Iterator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        raise StoreUnavailable(place, _reason(error)) from error
    except asyncpg.InterfaceError as error:
        # The subclasses mean wrong arguments; the class itself means a connection or pool that is closed.
        if type(error) is not asyncpg.InterfaceError:
            raise
        raise StoreUnavailable(place, _reason(error)) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    # asyncio words a refusal by the address it tried, and several of them as one error of their own.
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return "connection refused"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    # The first line only: asyncpg adds hints for programmers below it.
    return str(error).partition("\n")[0] or type(error).__name__
