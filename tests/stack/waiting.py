"""Waits for another process."""

import time
from collections.abc import Callable
from typing import Any

import pytest

_DEADLINE_SECONDS = 120.0


def wait_for(condition: Callable[[], Any]) -> Any:
    """Return what a condition gives as soon as it gives anything; an OSError is "not yet"."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < deadline:
        try:
            found = condition()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.1)  # another process is asked again; there is nothing to be woken by
    pytest.fail(f"did not come true in {_DEADLINE_SECONDS:g} s")
