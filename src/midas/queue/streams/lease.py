"""Keeps a reader's lease, which covers everything it holds, prefetched tasks included: to renew it is one command.

A handler that computes for a minute blocks the loop, not the thread. But a loop that has not looked after a task for a
lease and a half after its time hangs: then the thread renews no more, and others take over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from midas.redis import LeaseThread

if TYPE_CHECKING:
    import redis

    from midas.redis import Availability, Call


class ReaderLease(LeaseThread[None]):
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
        super().__init__("reader lease", client, availability)
        self._renew_reader = renew
        self._hangs = hangs
        self._on_lapsed = on_lapsed
        self._keep("the only one", None, lease_seconds)

    def _renewal(self, _: Sequence[None], /) -> Call | None:
        return None if self._hangs() else self._renew_reader()

    def _heard(self, _: Sequence[None], kept: int, /) -> None:
        if not kept:
            self._on_lapsed()
