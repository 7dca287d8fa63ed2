"""What a forked child does before anything else: a lock that another thread held in the parent is never released there.

A call that is registered here runs in every child, for as long as the object that it belongs to lives.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from weakref import WeakMethod

__all__ = ["at_end_of_multiprocessing", "in_children", "renew"]

_calls: list[WeakMethod[Callable[[], None]]] = []


def in_children(method: Callable[[], None]) -> None:
    """Call a bound method in each forked child, while its object lives."""
    _calls[:] = [call for call in _calls if call() is not None]
    _calls.append(WeakMethod(method))


def at_end_of_multiprocessing(call: Callable[[], object]) -> None:
    """Call this when a child of multiprocessing ends, which it does without `atexit`; elsewhere do nothing."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and sys.modules["multiprocessing.process"].parent_process() is not None:
        util.Finalize(None, call, exitpriority=-100)


def renew() -> None:
    """Do what has to be done in a child now: it was forked by somebody who did not tell Python."""
    for call in _calls:
        method = call()
        if method is not None:
            method()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=renew)
