"""Lets a function that blocks run beside the event loop, in a thread of its own.

A thread cannot be stopped from outside. So a caller that is cancelled, or whose time is over, still waits for the end
of its function: the worker's slot stays taken as long as the work really goes on. A second cancellation lets go of it.
The threads are daemons: they do not keep a process alive that has given its tasks back.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function and give its result; log and trace context go with it."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    context = copy_context()

    def work() -> None:
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it belongs to the caller
            _report(loop, outcome, outcome.set_exception, _carriable(error))
        else:
            _report(loop, outcome, outcome.set_result, result)

    threading.Thread(target=work, name=f"blocking {getattr(function, '__name__', '')}", daemon=True).start()
    try:
        return await asyncio.shield(outcome)
    except asyncio.CancelledError:
        await asyncio.wait([outcome])
        with suppress(Exception):
            outcome.result()  # nobody wants it any more
        raise


def _report(
    loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[T], setter: Callable[..., None], value: object
) -> None:
    def settle() -> None:
        if not outcome.done():
            setter(value)

    with suppress(RuntimeError):  # the loop is closed: the process ended without waiting for us
        loop.call_soon_threadsafe(settle)


def _carriable(error: BaseException) -> BaseException:
    # A future refuses to carry StopIteration, and SystemExit would end the loop instead of the task.
    return (
        error
        if isinstance(error, Exception) and not isinstance(error, StopIteration)
        else RuntimeError(repr(error))
    )
