"""Takes encoded lines from any thread at once and lets one thread of its own write them.

Between the two is a buffer that is bounded in bytes. A destination that is slow, full or gone fills it, further lines
are dropped and counted, and the caller never waits and never sees an error. A destination that keeps up loses
nothing: not at exit, not in `close`, not in a forked child, which starts with an empty buffer and a thread of its own.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import repeat, starmap
from queue import SimpleQueue
from typing import Final

from botmetry.logs.delivery import Delivery
from botmetry.logs.output import Output

__all__ = ["Sink"]

LINGER_SECONDS: Final = 0.01
"""How long lines gather before they are written together: to wake a thread for each would cost more than the line."""
FLUSH_SECONDS: Final = 5.0
STALL_SECONDS: Final = 1.0
"""An output that takes nothing for this long is not waited for any more."""
TYPICAL_LINE_BYTES: Final = 256
YIELD_LINES: Final = 32
YIELD_SECONDS: Final = 50e-6
"""While much waits, a busy caller lets go of the interpreter this briefly every so many lines, or every quarter of what
goes out in one call: else the writing thread would get it once in 5 ms, and a fast output would look like a slow one.
It costs the caller 0.5 µs a line of a file, and 3 µs a line of a pipe."""

_sinks: weakref.WeakSet[Sink] = weakref.WeakSet()


def _ignore(*_: object) -> None:
    """Take note of nothing."""


class Sink:
    """A bounded buffer of lines in front of an output. Its thread starts with the first line, not before.

    Args:
        output: `stderr`, `stdout`, `none`, or the path of a file.
        buffer_bytes: How much may wait, what is being written included.
        on_dropped: Called with a number of lines that were lost, from any thread.
        on_error: Called with `"logs"` and the error when the output breaks, once until it works again.

    Attributes:
        enabled: False for `none`: nothing is written, and lines need not be made.
    """

    _asleep: bool
    _bytes: int

    def __init__(
        self,
        output: str = "stderr",
        *,
        buffer_bytes: int = 8 * 1024 * 1024,
        on_dropped: Callable[[int], object] = _ignore,
        on_error: Callable[[str, BaseException], object] = _ignore,
    ) -> None:
        self.enabled = output != "none"
        self._output = Output(output if self.enabled else os.devnull)
        self._limit = buffer_bytes
        self._crowded = buffer_bytes // 4
        self._on_dropped = on_dropped
        self._on_error = on_error
        self._notice: Callable[[int], bytes] | None = None
        self._begin()
        _sinks.add(self)

    def announce_drops(self, notice: Callable[[int], bytes]) -> None:
        """Write the line that `notice` makes of the number of lost lines, as soon as the output works again."""
        self._notice = notice

    def write(self, line: bytes) -> None:
        """Take one encoded line that ends in a newline. Never waits for the output.

        There is no lock: appending to a deque is atomic. Two threads may lose an addition to the count of bytes
        where there is no interpreter lock; the count begins at zero again each time nothing waits.
        """
        size = len(line)
        waiting = self._bytes = self._bytes + size
        if waiting > self._crowded and not self._has_room(size):
            return
        self._lines.append(line)
        if self._asleep:
            self._asleep = False
            self._wake()

    def flush(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Wait until all lines so far are written; tell whether they are.

        Args:
            timeout: Seconds to wait at most; an output that takes nothing for one second is not waited for.
        """
        if self._thread is None:
            self._write_here()
        deadline = time.monotonic() + timeout
        seen, patience = self._delivered, time.monotonic() + STALL_SECONDS
        while True:
            self._idle.clear()
            if self._asleep and not self._lines:
                return True
            self._idle.wait(0.02)
            now = time.monotonic()
            if self._delivered != seen:
                seen, patience = self._delivered, now + STALL_SECONDS
            if now >= min(deadline, patience):
                return False

    def close(self, timeout: float = FLUSH_SECONDS) -> None:
        """Write what waits, count what cannot be written in time, end the thread. Another line starts it again.

        Args:
            timeout: As in `flush`.
        """
        with self._lock:
            thread = self._thread
            if thread is not None:
                self._closing.set()
                self._doorbell.put(None)
        if self.flush(timeout) and thread is not None:
            thread.join(STALL_SECONDS)
        self._abandon()
        atexit.unregister(self._at_exit)

    def _begin(self) -> None:
        """Be empty, without a thread and without a lock that somebody may hold: new, or in a forked child."""
        # Reentrant, because a signal handler or a finalizer may log while its own thread holds it.
        self._lock = threading.RLock()
        self._turn = threading.Lock()
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._delivered = 0
        self._crowding = 0
        self._exiting = False
        self._thread: threading.Thread | None = None
        self._doorbell: SimpleQueue[None] = SimpleQueue()
        self._idle = threading.Event()
        self._closing = threading.Event()
        self._delivery = Delivery(self._output, self._closing, self._failed)
        self._bytes = 0
        self._asleep = True

    def _has_room(self, size: int) -> bool:
        """Tell whether a line, counted already, fits into the crowded buffer; count it as lost if not."""
        self._crowding += 1
        if self._crowding >= max(YIELD_LINES, self._output.block_bytes // (4 * TYPICAL_LINE_BYTES)):
            self._crowding = 0
            time.sleep(YIELD_SECONDS)
        if self._bytes <= self._limit:
            return True
        self._bytes -= size
        self._drop(1)
        return False

    def _wake(self) -> None:
        with self._lock:
            if self._thread is None:
                self._start()
            self._doorbell.put(None)
        if self._exiting:
            self.flush(STALL_SECONDS)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="botmetry-logs", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            # No more threads, or the interpreter is ending: `flush` writes what waits.
            self._thread = None
            self._failed(error)
            self._asleep = True
        atexit.register(self._at_exit)
        # A child of multiprocessing ends without atexit, and what was registered before its work began is cleared.
        util = sys.modules.get("multiprocessing.util")
        if util is not None and sys.modules["multiprocessing.process"].parent_process() is not None:
            util.Finalize(None, self._at_exit, exitpriority=-100)

    def _run(self) -> None:
        while True:
            self._doorbell.get()
            self._closing.wait(LINGER_SECONDS)
            try:
                self._write_waiting()
            except Exception as error:  # noqa: BLE001 - without this thread nothing is ever written again
                self._failed(error)
                self._doorbell.put(None)
            if self._closing.is_set():
                self._output.close()
                if self._retire():
                    return

    def _retire(self) -> bool:
        with self._lock:
            if self._lines:
                return False
            self._closing.clear()
            self._doorbell = SimpleQueue()
            self._thread = None
            return True

    def _write_here(self) -> None:
        """Write in the calling thread, because there is none of our own. What is broken is not tried again."""
        if self._lines:
            self._closing.set()
            self._write_waiting()
            self._closing.clear()
        self._output.close()

    def _write_waiting(self) -> None:
        """Write until nothing waits."""
        with self._turn:
            while block := self._next_block():
                lost = self._delivery.send(block)
                self._bytes -= len(block)
                if lost:
                    self._drop(lost)
                else:
                    self._delivered += 1
                    self._announce()

    def _next_block(self) -> bytes:
        """Take what goes out in one call; if nothing waits, be asleep, so that the next line rings."""
        block = self._take(self._output.block_bytes)
        if not block:
            self._bytes = 0
            self._asleep = True
            block = self._take(self._output.block_bytes)  # a line may have come between the two
            if block:
                self._asleep = False
            else:
                self._idle.set()
        return block

    def _take(self, room: int) -> bytes:
        """Take whole lines of at most `room` bytes from the front, or one line that is longer."""
        waiting = self._lines
        lines: list[bytes] = []
        count = min(len(waiting), room // TYPICAL_LINE_BYTES + 1)
        with suppress(IndexError):  # `close` took them; what came before stays in `lines`
            lines.extend(starmap(waiting.popleft, repeat((), count)))
        size = sum(map(len, lines))
        while size > room and len(lines) > 1:
            waiting.appendleft(lines[-1])
            size -= len(lines.pop())
        return b"".join(lines)

    def _announce(self) -> None:
        """Say in the log itself how many lines are missing."""
        if not self._lost or self._notice is None:
            return
        with self._lock:
            lost, self._lost = self._lost, 0
        if self._delivery.send(self._notice(lost)):
            with self._lock:
                self._lost += lost

    def _drop(self, lines: int) -> None:
        with self._lock:
            self._lost += lines
        with suppress(Exception):  # a counter's failure must not reach the caller of a log method
            self._on_dropped(lines)

    def _failed(self, error: BaseException) -> None:
        with suppress(Exception):  # as above
            self._on_error("logs", error)

    def _abandon(self) -> None:
        """Count what still waits as lost."""
        while block := self._take(2 * self._limit):
            self._bytes -= len(block)
            self._drop(block.count(b"\n"))

    def _at_exit(self) -> None:
        """Write what waits. The thread goes on: other exit functions may still log."""
        self._exiting = True
        if not self.flush():
            self._abandon()


def _begin_in_child() -> None:
    for sink in list(_sinks):
        sink._begin()  # noqa: SLF001 - the fork is this module's business


os.register_at_fork(after_in_child=_begin_in_child)
