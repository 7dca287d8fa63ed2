"""Has SIGTERM and SIGINT stop a process in good order, and the second of them hurry it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def stopped_by_signals(stop: asyncio.Event, hurry: Callable[[], object]) -> Iterator[None]:
    """Have SIGTERM and SIGINT set `stop`, and the second of them call `hurry`, where signals can be had."""
    loop = asyncio.get_running_loop()

    def told() -> None:
        if stop.is_set():
            hurry()
        stop.set()

    installed = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(number, told)
            installed.append(number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)
