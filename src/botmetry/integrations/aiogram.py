"""Observes aiogram 3: the updates that arrive and who sent them, and the calls to the Bot API.

A dispatcher gets an outer middleware: it counts each update by its type, notes its user, measures its age, and handles
it under a trace of its own with `user_id` bound, so that every log line of the handler carries both. It comes before
aiogram's own middlewares, so that error handlers are inside, too. Handlers are measured where they are written, with
`telemetry.bot.command`.

A bot gets a session middleware that counts and times each call. Long polling (`getUpdates`) is counted by outcome only:
it takes as long as nobody writes. Ids of users and chats never become labels; chats are not looked at.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from botmetry.errors import MissingExtraError
from botmetry.integrations.arrivals import Arrival, Arrived
from botmetry.integrations.calls import TimedCall, UntimedCall, Verdict
from botmetry.metrics import CATALOGUE

if TYPE_CHECKING:
    from aiogram import Bot, Dispatcher
    from aiogram.types import Update

    from botmetry.integrations.subclassing import Undo
    from botmetry.telemetry import Telemetry

__all__ = ["instrument"]

_Handler = Callable[[Any, dict[str, Any]], Awaitable[Any]]
_Request = Callable[[Any, Any], Awaitable[Any]]

_LONG_POLL = "getUpdates"
_UNKNOWN_TYPE = "unknown"


def instrument(target: Dispatcher | Bot, telemetry: Telemetry) -> Undo:
    """Observe the updates of a dispatcher, or the API calls of a bot; return how to take that back.

    Doing it twice is doing it once. Bots that share a session are observed together.

    Raises:
        MissingExtraError: aiogram is not installed.
        TypeError: `target` is neither a dispatcher nor a bot.
    """
    try:
        from aiogram import Bot, Dispatcher, exceptions  # noqa: PLC0415 -- paid for by those who use it
        from aiogram.dispatcher.middlewares.user_context import UserContextMiddleware  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("aiogram", "aiogram") from error
    if isinstance(target, Dispatcher):
        resolve = UserContextMiddleware.resolve_event_context
        return _observe_updates(target, _Updates(telemetry, lambda update: resolve(update).user_id))
    if isinstance(target, Bot):
        return _observe_calls(
            target, _Calls(telemetry, exceptions.TelegramRetryAfter, exceptions.ClientDecodeError)
        )
    raise TypeError(f"a dispatcher or a bot of aiogram can be instrumented, not {type(target).__name__}")


def _observe_updates(dispatcher: Dispatcher, updates: _Updates) -> Undo:
    manager: Any = dispatcher.update.outer_middleware
    present = list(manager)
    for other in present:
        if isinstance(other, _Updates) and other.telemetry is updates.telemetry:
            return partial(_remove, manager, other)
    # aiogram appends; to come first, ours is followed by those that were there.
    for other in present:
        manager.unregister(other)
    for middleware in (updates, *present):
        manager.register(middleware)
    return partial(_remove, manager, updates)


def _observe_calls(bot: Bot, calls: _Calls) -> Undo:
    manager = bot.session.middleware
    for other in manager:
        if isinstance(other, _Calls) and other.telemetry is calls.telemetry:
            return partial(_remove, manager, other)
    manager.register(calls)
    return partial(_remove, manager, calls)


def _remove(manager: Any, middleware: object) -> None:
    if middleware in list(manager):
        manager.unregister(middleware)


class _Updates:
    """The outer middleware of a dispatcher."""

    def __init__(self, telemetry: Telemetry, user_of: Callable[[Update], int | None]) -> None:
        self.telemetry = telemetry
        self._user_of = user_of

    async def __call__(self, handler: _Handler, update: Update, data: dict[str, Any]) -> Any:
        with Arrival(self.telemetry, "integrations.aiogram", lambda: self._arrived(update)):
            return await handler(update, data)

    def _arrived(self, update: Update) -> Arrived:
        kind = _kind_of(update)
        self.telemetry.bot.update(kind)
        age = _age_seconds(update, kind)
        if age is not None:
            self.telemetry.bot.polling_lag(age)
        bound: dict[str, object] = {}
        user_id = self._user_of(update)
        if user_id is not None:
            self.telemetry.bot.user_seen(user_id)
            bound["user_id"] = user_id
        return Arrived(f"bot.update {kind}", "consumer", {"update_type": kind}, bound)


class _Calls:
    """The session middleware of a bot."""

    def __init__(self, telemetry: Telemetry, retry_after: type[Any], unreadable: type[Exception]) -> None:
        self.telemetry = telemetry
        self._retry_after = retry_after
        self._unreadable = unreadable
        self._counter = telemetry.registry.counter(CATALOGUE["bot_api_calls_total"])

    async def __call__(self, make_request: _Request, bot: Bot, method: Any) -> Any:
        with self._call(method.__api_method__):
            return await make_request(bot, method)

    def _call(self, method: str) -> TimedCall | UntimedCall:
        telemetry = self.telemetry
        if method == _LONG_POLL:
            return UntimedCall(self._counter, method, self._judge, telemetry.internal_error)
        return TimedCall(partial(telemetry.bot.api_call, method), self._judge, telemetry.internal_error)

    def _judge(self, error: BaseException) -> Verdict | None:
        if isinstance(error, self._retry_after):
            self.telemetry.bot.retry_after(error.retry_after)
        told = {"error_type": type(error).__name__}
        if isinstance(error, self._unreadable):  # its text quotes the whole answer, with what people wrote
            return Verdict("error", told)
        # aiogram's own class for a timeout says no more than "network".
        return Verdict("timeout", told) if isinstance(error.__cause__, TimeoutError) else None


def _kind_of(update: Update) -> str:
    try:
        return update.event_type
    except LookupError:  # a type of update that this version of aiogram does not know
        return _UNKNOWN_TYPE


def _age_seconds(update: Update, kind: str) -> float | None:
    """Return how long ago the update's event happened, None when the update does not say.

    Telegram tells whole seconds, so the age is up to a second too long.
    """
    # The message of a callback query is the one with the button: its date is not that of the click.
    if kind in {_UNKNOWN_TYPE, "callback_query"}:
        return None
    event = update.event
    date = getattr(event, "edit_date", None) or getattr(event, "date", None)
    if isinstance(date, datetime):
        return time.time() - date.timestamp()
    return time.time() - date if isinstance(date, int) and date > 0 else None
