"""Brings lines to an output whole: parts that were written are continued, failures are outlived or given up.

A block that an error cut in the middle of a line goes on where it stopped when the same file works again, and begins
that line anew in a file that was opened meanwhile. So a reader finds whole lines on both sides.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from botmetry.logs.output import Output

__all__ = ["Delivery"]

FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 2.0


class Delivery:
    """Sends blocks of lines to `output`, one after the other, in one thread.

    Args:
        output: Where the lines go.
        closing: Once set, a broken output is not tried again.
        on_failure: Called with the error when the output breaks, once until it works again.
    """

    def __init__(
        self, output: Output, closing: threading.Event, on_failure: Callable[[BaseException], object]
    ) -> None:
        self._output = output
        self._closing = closing
        self._on_failure = on_failure
        self._pause = 0.0

    def send(self, block: bytes) -> int:
        """Write `block`; return how many of its lines are lost, because the output is broken for good or closing."""
        view = memoryview(block)
        written = 0
        while written < len(block):
            try:
                if self._output.ready():
                    written = _line_start(block, written)
                written += self._output.write(view[written:])
            except OSError as error:
                if not self._outlive(error):
                    return block.count(b"\n", _line_start(block, written))
            else:
                self._pause = 0.0
        return 0

    def _outlive(self, error: OSError) -> bool:
        """Wait until the output may be tried again; tell whether that makes sense."""
        if not self._pause:
            self._on_failure(error)
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS) or FIRST_PAUSE_SECONDS
        if self._closing.is_set() or not self._output.heals(error):
            return False
        self._closing.wait(self._pause)
        return True


def _line_start(block: bytes, position: int) -> int:
    return block.rfind(b"\n", 0, position) + 1
