"""Lets a function that blocks run beside the event loop, and keeps its place until it has really ended.

A thread cannot be stopped from outside. So a caller that is cancelled, or whose time is over, still waits for the end
of its function: the worker's slot stays taken as long as the work goes on. A second cancellation lets go of it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from botmetry.threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function and give its result; log and trace context go with it."""
    work = asyncio.ensure_future(run_in_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        with suppress(Exception):
            work.result()  # nobody wants it any more
        raise
