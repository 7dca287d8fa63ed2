"""Observes asyncpg: every statement by verb and table, the wait for a pooled connection, and the pool's state.

A statement is a query of `execute`, `executemany`, `fetch…`, `copy_…` or of a prepared statement. Not counted:
preparing a statement, reading through a cursor, and the statement with which a pool cleans a connection that is given
back.

A pool that gives no connection, because PostgreSQL is away or refuses, or because none came free in time, counts as a
failed `CONNECT` without a table. One that gives a connection counts none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from botmetry.errors import MissingExtraError
from botmetry.integrations.calls import TimedCall, Verdict
from botmetry.integrations.sql import NO_TABLE, Statement, describe
from botmetry.integrations.subclassing import (
    Undo,
    already_observed,
    observe,
    observed_class,
    original_class,
)
from botmetry.metrics import CATALOGUE

if TYPE_CHECKING:
    from asyncpg import Connection, Pool

    from botmetry.telemetry import Telemetry

__all__ = ["instrument"]

_QUERYING = ("execute", "executemany", "fetch", "fetchval", "fetchrow", "fetchmany")
_COPYING = ("copy_from_table", "copy_to_table", "copy_records_to_table")
_PREPARED = ("fetch", "fetchval", "fetchrow", "fetchmany", "executemany")

_CONNECT: Final = Statement("CONNECT", NO_TABLE)

# The server says so for its statement_timeout and for a cancel request alike; only the text tells them apart.
_QUERY_CANCELED = "57014"


def instrument(target: Pool[Any] | Connection[Any], telemetry: Telemetry) -> Undo:
    """Observe a pool with all of its connections, or a single connection; return how to take that back.

    Doing it twice is doing it once. The pool gauges show the pool that was instrumented last.

    Raises:
        MissingExtraError: asyncpg is not installed.
        TypeError: `target` is neither a pool nor a connection of its own.
        BotmetryError: Another telemetry object observes it.
    """
    try:
        import asyncpg  # noqa: PLC0415 -- paid for by those who use it
        from asyncpg.pool import PoolConnectionProxy  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("asyncpg", "asyncpg") from error
    if isinstance(target, PoolConnectionProxy) or not isinstance(target, asyncpg.Pool | asyncpg.Connection):
        raise TypeError(f"a pool or a connection of asyncpg can be instrumented, not {type(target).__name__}")
    undo = already_observed(target, telemetry)
    if undo is not None:
        return undo
    statements = _Statements(
        telemetry,
        discreet=(asyncpg.PostgresError, asyncpg.InterfaceError),
        unconnected=(
            OSError,  # refused, reset, unreachable, and TimeoutError
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,  # the conversation was cut off in the middle
        ),
    )
    if isinstance(target, asyncpg.Pool):
        return _observe_pool(target, telemetry, statements)
    return observe(target, telemetry, statements.connection_class(target), statements.stop)


def _observe_pool(pool: Pool[Any], telemetry: Telemetry, statements: _Statements) -> Undo:
    original = original_class(pool).acquire

    @wraps(original)
    def acquire(self: Any, **options: Any) -> Any:
        waiting = original(self, **options)
        waiting.__class__ = statements.waiting_class(waiting)
        return waiting

    def state() -> Mapping[str, int]:
        if not statements.active:  # the pool may be closed and gone
            return {"idle": 0, "in_use": 0, "max": 0}
        size, idle = pool.get_size(), pool.get_idle_size()
        return {"idle": idle, "in_use": size - idle, "max": pool.get_max_size()}

    telemetry.database.watch_pool(state)
    queries = telemetry.registry.counter(CATALOGUE["db_queries_total"])
    for outcome in ("error", "timeout"):
        queries.labels(*_CONNECT, outcome)  # an explicit 0: increase() does not see the birth of a counter
    return observe(
        pool, telemetry, observed_class(original_class(pool), {"acquire": acquire}), statements.stop
    )


class _Statements:
    """Counts the statements of one pool or connection, until it is stopped.

    Connections and prepared statements that outlive the undo keep their observing class, which from then on only
    passes calls on.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        discreet: tuple[type[Exception], ...],
        unconnected: tuple[type[Exception], ...],
    ) -> None:
        self.active = True
        self._telemetry = telemetry
        self._discreet = discreet
        self._unconnected = unconnected
        self._classes: dict[type[Any], type[Any]] = {}

    def stop(self) -> None:
        """Count no more."""
        self.active = False

    def call(self, statement: Statement, started: float | None = None) -> TimedCall:
        """Return the `with` block for one run of `statement`, which may have `started` before."""
        make = partial(self._telemetry.database.query, statement.operation, statement.table)
        return TimedCall(make, self._judge, self._telemetry.internal_error, started)

    def connection_class(self, connection: object) -> type[Any]:
        """Return the observing class for `connection`."""
        return self._class_for(connection, self._connection_methods)

    def waiting_class(self, waiting: object) -> type[Any]:
        """Return the observing class for what `Pool.acquire` returns."""
        return self._class_for(waiting, self._waiting_methods)

    def _class_for(
        self, target: object, methods: Callable[[type[Any]], Mapping[str, Callable[..., Any]]]
    ) -> type[Any]:
        original = original_class(target)
        if original not in self._classes:
            self._classes[original] = observed_class(original, methods(original))
        return self._classes[original]

    def _connection_methods(self, cls: type[Any]) -> Mapping[str, Callable[..., Any]]:
        methods = {name: self._querying(getattr(cls, name)) for name in _QUERYING if hasattr(cls, name)}
        methods |= {name: self._copying(getattr(cls, name)) for name in _COPYING}
        methods["copy_from_query"] = self._querying(cls.copy_from_query, "COPY")
        methods["prepare"] = self._preparing(cls.prepare)
        return methods

    def _waiting_methods(self, cls: type[Any]) -> Mapping[str, Callable[..., Any]]:
        def awaiting(waiting: Any) -> Generator[Any, Any, Any]:
            with self._connecting():
                connection = yield from cls.__await__(waiting)
            return self._observed_connection(connection)

        async def entering(waiting: Any) -> Any:
            with self._connecting():
                connection = await cls.__aenter__(waiting)
            return self._observed_connection(connection)

        return {"__await__": awaiting, "__aenter__": entering}

    @contextmanager
    def _connecting(self) -> Iterator[None]:
        """Observe the wait for a connection, and count it when it ends without one; not when it is cancelled."""
        started = perf_counter()
        try:
            yield
        except self._unconnected:
            if self.active:
                with self.call(_CONNECT, started):
                    raise
            raise
        finally:
            if self.active:
                self._telemetry.database.pool_waited(perf_counter() - started)

    def _observed_connection(self, pooled: Any) -> Any:
        """Observe the connection behind what the pool hands out; a pool makes connections whenever it likes."""
        connection = pooled._con  # noqa: SLF001 -- the pool offers no hook that is told of a new connection
        cls = self.connection_class(connection)
        if self.active and type(connection) is not cls:
            connection.__class__ = cls
        return pooled

    def _querying(self, original: Callable[..., Any], operation: str = "") -> Callable[..., Any]:
        @wraps(original)
        async def method(connection: Any, query: str, *args: Any, **options: Any) -> Any:
            if not self.active or query == connection.get_reset_query():
                return await original(connection, query, *args, **options)
            statement = describe(query)
            with self.call(statement._replace(operation=operation) if operation else statement):
                return await original(connection, query, *args, **options)

        return method

    def _copying(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        async def method(connection: Any, table_name: str, **options: Any) -> Any:
            if not self.active:
                return await original(connection, table_name, **options)
            schema = options.get("schema_name")
            table = f"{schema}.{table_name}" if schema and schema != "public" else table_name
            with self.call(Statement("COPY", table)):
                return await original(connection, table_name, **options)

        return method

    def _preparing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        async def method(connection: Any, *args: Any, **options: Any) -> Any:
            prepared = await original(connection, *args, **options)
            if self.active:
                prepared.__class__ = self._class_for(prepared, self._prepared_methods)
            return prepared

        return method

    def _prepared_methods(self, cls: type[Any]) -> Mapping[str, Callable[..., Any]]:
        return {name: self._running(getattr(cls, name)) for name in _PREPARED if hasattr(cls, name)}

    def _running(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        async def method(prepared: Any, *args: Any, **options: Any) -> Any:
            if not self.active:
                return await original(prepared, *args, **options)
            with self.call(describe(prepared.get_query())):
                return await original(prepared, *args, **options)

        return method

    def _judge(self, error: BaseException) -> Verdict | None:
        """Name PostgreSQL's and asyncpg's own errors and do not quote them: their text shows rows and arguments."""
        if not isinstance(error, self._discreet):
            return None
        code = getattr(error, "sqlstate", None)
        timed_out = code == _QUERY_CANCELED and "timeout" in str(error)
        fields = {"error_type": type(error).__name__} | ({"error_code": code} if code else {})
        return Verdict("timeout" if timed_out else "error", fields)
