"""Runs a function that blocks in a daemon thread of its own, and waits for it without holding up the event loop.

Not in a pool: of a pool's threads each that hangs is one fewer for everybody else, and the interpreter joins them all
before it ends. A thread for each call costs some 50 microseconds; one that hangs holds up nobody and keeps no process
alive.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import ParamSpec, TypeVar

__all__ = ["run_in_thread"]

P = ParamSpec("P")
T = TypeVar("T")


async def run_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a daemon thread of its own, with the caller's context variables, and give what it returns.

    A thread cannot be stopped from outside. A caller that is cancelled stops waiting at once and leaves the thread
    alone: it ends by itself, and what comes out of it is dropped. Whoever has to know that the work is over awaits
    this in a task of its own and shields that.

    Raises:
        RuntimeError: The machine gives no more threads, and the function was not called; or the function raised what
            no future may carry (`StopIteration`, or anything that is no `Exception`), which is then the cause.
        Exception: Whatever else the function raised.
    """
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

    threading.Thread(target=work, name=f"call {getattr(function, '__name__', '')}", daemon=True).start()
    return await outcome


def _report(
    loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[T], setter: Callable[..., None], value: object
) -> None:
    def settle() -> None:
        if not outcome.done():
            setter(value)

    with suppress(RuntimeError):  # the loop is closed: its program ended without waiting for us
        loop.call_soon_threadsafe(settle)


def _carriable(error: BaseException) -> Exception:
    # A future refuses to carry StopIteration; SystemExit would end the whole loop, and CancelledError would look as
    # if somebody had cancelled the caller.
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    carrier = RuntimeError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    carrier.__cause__ = error
    return carrier
