"""Keeps a reader's lease from a thread of its own, so that a blocked event loop does not lose what it holds.

One lease covers everything the reader holds, prefetched tasks included: to renew it is one command, however many there
are. A handler that computes for a minute blocks the loop, not the thread. But a loop that lets a task run past its time
and a whole lease more hangs: then the thread renews no more, and others take over.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Self

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import redis
    from redis.commands.core import Script as RegisteredScript

    from midas.redis import Availability, Call

_RENEWALS_PER_LEASE: Final = 3
"""Two may fail before the lease lapses."""
_LONGEST_PAUSE_SECONDS: Final = 1.0
"""How often it tries again while Redis is away."""


class ReaderLease:
    """Renews one reader's lease while it is used as a context manager.

    Args:
        client: A Redis client that nobody else uses. The lease closes it.
        renew: Gives the call that renews.
        lease_seconds: How long the lease lasts.
        availability: Is told whether Redis answers.
        hangs: Whether the reader has stopped looking after its tasks.
        on_lapsed: Called in the thread when the lease had lapsed and somebody had noticed; must not block.
    """

    def __init__(
        self,
        client: redis.Redis,
        renew: Callable[[], Call],
        lease_seconds: float,
        availability: Availability,
        *,
        hangs: Callable[[], bool],
        on_lapsed: Callable[[], None],
    ) -> None:
        self._client = client
        self._renew = renew
        self._period = lease_seconds / _RENEWALS_PER_LEASE
        self._availability = availability
        self._hangs = hangs
        self._on_lapsed = on_lapsed
        self._script: RegisteredScript | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader lease", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the thread; the lease lapses."""
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        pause = self._period
        while not self._ended.wait(pause):
            pause = self._period
            if not self._hangs() and not self._renew_once():
                pause = min(_LONGEST_PAUSE_SECONDS, self._period)

    def _renew_once(self) -> bool:
        call = self._renew()
        script = self._script = self._script or self._client.register_script(call.script.text)
        try:
            kept = script(keys=call.keys, args=call.arguments)
        except (RedisError, OSError) as error:
            self._availability.missed(error)
            return False
        self._availability.answered()
        if not kept:
            self._on_lapsed()
        return True
