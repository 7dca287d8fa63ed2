"""Observes redis-py, asyncio and synchronous: every command and pipeline, broken connections, and the pool's state.

An operation is a command's name (`GET`, `EVALSHA`, `CONFIG`), `PIPELINE`, or `MULTI` for a pipeline that is a
transaction. Its keys, values and replies stay out of labels, logs and spans.

Commands that wait for somebody else's data (`BLPOP`, `BZPOPMIN`, `XREADGROUP … BLOCK`) are counted by outcome and have
no duration, event or span: they take as long as there is nothing to do, and as latencies would drown the others.

Two errors are answers: `NoScriptError`, after which redis-py loads the script and asks again, and `WatchError`, which a
transaction that lost a race is meant to raise. They count as `ok`. Subscriptions are not observed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botmetry.errors import MissingExtraError
from botmetry.integrations.calls import TimedCall, UntimedCall, Verdict
from botmetry.integrations.subclassing import (
    Undo,
    already_observed,
    observe,
    observed_class,
    original_class,
)
from botmetry.metrics import CATALOGUE

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    from botmetry.telemetry import Telemetry

__all__ = ["instrument"]

_Call: TypeAlias = "TimedCall | UntimedCall"
_CallFor: TypeAlias = Callable[[Any, tuple[Any, ...]], "_Call | None"]

OTHER: Final = "OTHER"
"""The operation of a command whose name is none, and of the names past `_MAX_NAMES`."""

_NAME = re.compile(r"[A-Z][A-Z0-9._-]{0,31}")

# Redis has some 250 commands and its modules as many; a program uses a few dozen. More names are made up.
_MAX_NAMES = 256

# Words of a command's name as redis-py passes it, such as `CONFIG GET`, or of raw bytes.
_BLOCKING = frozenset(
    {"BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZMPOP", "BZPOPMAX", "BZPOPMIN", "WAIT", "WAITAOF"}
)
_BLOCKING_WITH_OPTION = frozenset({"XREAD", "XREADGROUP"})

# The code with which a reply of Redis begins when it says no, such as `WRONGTYPE` or `OOM`.
_CODE = re.compile(r"[A-Z]{3,20}\b")

# redis-py's pools are "unlimited" up to here.
_NO_LIMIT = 2**31


def instrument(target: Redis | AsyncRedis, telemetry: Telemetry) -> Undo:
    """Observe a client and the pipelines it makes; return how to take that back.

    Doing it twice is doing it once. The pool gauges show the pool of the client that was instrumented last.

    Raises:
        MissingExtraError: redis is not installed.
        TypeError: `target` is no client of redis-py, or a pipeline.
        BotmetryError: Another telemetry object observes it.
    """
    try:
        import redis  # noqa: PLC0415 -- paid for by those who use it
        import redis.asyncio as redis_asyncio  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("redis", "redis") from error
    if not isinstance(target, redis.Redis | redis_asyncio.Redis) or hasattr(target, "command_stack"):
        raise TypeError(f"a client of redis-py can be instrumented, not {type(target).__name__}")
    undo = already_observed(target, telemetry)
    if undo is not None:
        return undo
    commands = _Commands(telemetry, redis, asynchronous=isinstance(target, redis_asyncio.Redis))
    original = original_class(target)
    methods = {"execute_command": commands.executing(original), "pipeline": commands.pipelining(original)}
    _watch_pool(target.connection_pool, telemetry, commands)
    return observe(target, telemetry, observed_class(original, methods), commands.stop)


def _watch_pool(pool: Any, telemetry: Telemetry, commands: _Commands) -> None:
    if not hasattr(pool, "get_connection_count"):  # redis-py before 7 tells nobody
        return

    def state() -> Mapping[str, int]:
        if not commands.active:  # the pool may be closed and gone
            return {"idle": 0, "in_use": 0, "max": 0}
        (idle, _), (in_use, _) = pool.get_connection_count()
        limit = {"max": pool.max_connections} if pool.max_connections < _NO_LIMIT else {}
        return {"idle": idle, "in_use": in_use, **limit}

    telemetry.redis.watch_pool(state)


class _Commands:
    """Counts the commands of one client, until it is stopped.

    A pipeline that outlives the undo keeps its observing class, which from then on only passes calls on.
    """

    def __init__(self, telemetry: Telemetry, redis: Any, *, asynchronous: bool) -> None:
        self.active = True
        self._around = _around_async if asynchronous else _around
        self._telemetry = telemetry
        self._answers = (redis.exceptions.NoScriptError, redis.exceptions.WatchError)
        self._timeout = redis.exceptions.TimeoutError
        self._unreachable = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
        self._refused = redis.exceptions.ResponseError
        self._counter = telemetry.registry.counter(CATALOGUE["redis_operations_total"])
        self._names: dict[object, str] = {}
        self._pipelines: dict[type[Any], type[Any]] = {}

    def stop(self) -> None:
        """Count no more."""
        self.active = False

    def executing(self, cls: type[Any]) -> Callable[..., Any]:
        """Return `execute_command` of a client, observed."""
        return self._around(cls.execute_command, lambda _, args: self._command(args))

    def pipelining(self, cls: type[Any]) -> Callable[..., Any]:
        """Return `pipeline` of a client, whose pipelines are observed."""
        original = cls.pipeline

        @wraps(original)
        def pipeline(client: Any, *args: Any, **options: Any) -> Any:
            made = original(client, *args, **options)
            if self.active:
                made.__class__ = self._pipeline_class(type(made))
            return made

        return pipeline

    def _pipeline_class(self, cls: type[Any]) -> type[Any]:
        if cls not in self._pipelines:
            methods = {
                "execute": self._around(cls.execute, lambda pipeline, _: self._batch(pipeline)),
                # Between WATCH and MULTI commands are sent one by one.
                "immediate_execute_command": self._around(
                    cls.immediate_execute_command, lambda _, args: self._command(args)
                ),
            }
            self._pipelines[cls] = observed_class(cls, methods)
        return self._pipelines[cls]

    def _batch(self, pipeline: Any) -> _Call | None:
        if not self.active or not (len(pipeline) or pipeline.watching):
            return None  # nothing is sent
        transaction = getattr(pipeline, "is_transaction", getattr(pipeline, "transaction", False))
        return self._timed("MULTI" if transaction or pipeline.explicit_transaction else "PIPELINE")

    def _command(self, args: tuple[Any, ...]) -> _Call | None:
        if not self.active or not args:
            return None
        name = self._name(args[0])
        if name in _BLOCKING or (name in _BLOCKING_WITH_OPTION and _blocks(args)):
            return UntimedCall(self._counter, name, self._judge, self._telemetry.internal_error)
        return self._timed(name)

    def _timed(self, name: str) -> TimedCall:
        make = partial(self._telemetry.redis.operation, name)
        return TimedCall(make, self._judge, self._telemetry.internal_error)

    def _name(self, given: object) -> str:
        """Return the first word of a command's name in capitals."""
        known = self._names.get(given) if isinstance(given, str | bytes) else None
        if known is None:
            word = _text(given).split(" ", 1)[0].upper()
            known = word if _NAME.fullmatch(word) and len(self._names) < _MAX_NAMES else OTHER
            if known is not OTHER:
                self._names[given] = known
        return known

    def _judge(self, error: BaseException) -> Verdict | None:
        """Count broken connections; do not quote a refused command, because the text shows its arguments."""
        told: dict[str, object] = {"error_type": type(error).__name__}
        if isinstance(error, self._answers):
            return Verdict("ok", {"answer": type(error).__name__})
        if isinstance(error, self._unreachable):
            self._telemetry.redis.connection_error()
            return Verdict("timeout", told) if isinstance(error, self._timeout) else None
        if isinstance(error, self._refused):
            code = _CODE.match(str(error))
            return Verdict("error", told if code is None else {**told, "error_code": code[0]})
        return None


def _around_async(original: Callable[..., Any], call_for: _CallFor) -> Callable[..., Any]:
    """Return `original`, an async method, within what `call_for` returns for its object and arguments."""

    @wraps(original)
    async def method(target: Any, *args: Any, **options: Any) -> Any:
        call = call_for(target, args)
        if call is None:
            return await original(target, *args, **options)
        with call:
            return await original(target, *args, **options)

    return method


def _around(original: Callable[..., Any], call_for: _CallFor) -> Callable[..., Any]:
    """Return `original`, a plain method, within what `call_for` returns for its object and arguments."""

    @wraps(original)
    def method(target: Any, *args: Any, **options: Any) -> Any:
        call = call_for(target, args)
        if call is None:
            return original(target, *args, **options)
        with call:
            return original(target, *args, **options)

    return method


def _blocks(args: tuple[Any, ...]) -> bool:
    """Return whether the options of `XREAD` or `XREADGROUP` say `BLOCK`; what follows `STREAMS` are names."""
    # After `XREADGROUP GROUP` come two names, which may be called anything.
    first = 4 if _text(args[0]).upper() == "XREADGROUP" else 1
    for option in args[first:]:
        word = _text(option).upper() if isinstance(option, str | bytes) else ""
        if word in {"BLOCK", "STREAMS"}:
            return word == "BLOCK"
    return False


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
