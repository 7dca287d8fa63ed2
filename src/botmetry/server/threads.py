"""Calls what may block for ever, each call in a daemon thread of its own: a hanging one keeps no program from ending.

Threads of a pool are joined before the interpreter ends, and asyncio's own before its loop does: a check that waits for
a dead host, or a collector that hangs, would keep the observed program alive.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

__all__ = ["in_thread"]

_T = TypeVar("_T")


async def in_thread(work: Callable[[], _T], *, name: str) -> _T:
    """Call `work` in a thread with the caller's context variables, and return what it returns.

    Whoever is cancelled meanwhile stops waiting; the thread ends when `work` does.

    Raises:
        RuntimeError: There are no more threads, or `work` raised what is no `Exception`, such as `SystemExit`.
        Exception: Whatever else `work` raised.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_T] = loop.create_future()
    context = copy_context()

    def call() -> None:
        try:
            result = context.run(work)
        except BaseException as error:  # noqa: BLE001 -- whatever it is, the caller waits for it in another thread
            _tell(loop, outcome, outcome.set_exception, _as_exception(error))
        else:
            _tell(loop, outcome, outcome.set_result, result)

    thread = threading.Thread(target=call, name=name, daemon=True)
    thread.start()
    try:
        return await outcome
    finally:
        if outcome.done() and not outcome.cancelled():
            thread.join()  # it has nothing left to do


def _tell(
    loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[_T], say: Callable[[Any], None], what: object
) -> None:
    def settle() -> None:
        if not outcome.done():
            say(what)

    with suppress(RuntimeError):  # the loop is closed: its program ended without waiting
        loop.call_soon_threadsafe(settle)


def _as_exception(error: BaseException) -> Exception:
    """Return what a future may carry: `StopIteration` it refuses, and `SystemExit` would end the whole loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    carrier = RuntimeError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    carrier.__cause__ = error
    return carrier
