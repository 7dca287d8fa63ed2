"""Fork and interrupt out of the sight of coverage.py.

It takes a lock at each call of ours, in every thread: a child that is forked while another thread holds it waits for
ever, and so does a signal handler that counts in the middle of what it interrupts.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_SECONDS = 0.0005


@contextmanager
def untraced() -> Iterator[None]:
    """Do the block without coverage.py."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def fork(body: Callable[[], object], call: Callable[[], int] = os.fork) -> int:
    """Do `body` in a child that ends with it; return the child's number.

    Args:
        body: What it raises is printed and becomes status 1.
        call: What forks.
    """
    with untraced():
        pid = call()
        if pid == 0:
            status = 1
            threading.settrace(None)
            try:
                body()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
    return pid


@contextmanager
def interrupted_by(handler: Callable[[], object]) -> Iterator[None]:
    """Run `handler` again and again in the middle of the block.

    The timer counts this process's own time and is wound up again when a handler has ended, so that a busy machine
    does not pile one upon the other. SIGALRM belongs to the test's time limit.
    """
    over = False

    def run(*_: object) -> None:
        if not over:
            handler()
            signal.setitimer(signal.ITIMER_VIRTUAL, EVERY_SECONDS)

    before = signal.signal(signal.SIGVTALRM, run)
    try:
        with untraced():
            signal.setitimer(signal.ITIMER_VIRTUAL, EVERY_SECONDS)
            yield
    finally:
        over = True
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
