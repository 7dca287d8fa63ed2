"""Counts the distinct users of the last five minutes, hour and day in bounded memory.

Every user is kept with the time of the last update until there are more than `CAPACITY`; from then on only users
whose hash falls into a share of 1/2, 1/4, … are kept and the count is multiplied by it: adaptive sampling (Wegman;
analysed by Flajolet, "On adaptive sampling", Computing 43, 1990). With 16,384 kept users its standard error is
1.2/sqrt(16384), below 1 %. Below the capacity the count is exact.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from hashlib import blake2b
from threading import Lock
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from botmetry.metrics.forks import in_children

if TYPE_CHECKING:
    from botmetry.metrics.prefork import Users

__all__ = ["CAPACITY", "WINDOWS", "ActiveUsers"]

CAPACITY: Final = 16_384
WINDOWS: Final[Mapping[str, float]] = {"5m": 300.0, "1h": 3_600.0, "24h": 86_400.0}


class ActiveUsers:
    """The users seen lately. Ids are kept as keyed hashes, and never leave the processes that share them."""

    def __init__(
        self,
        shared: Users | None = None,
        *,
        clock: Callable[[], float] | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        """Begin without users.

        Args:
            shared: Those that other processes have seen, too.
            clock: Gives seconds; by default since boot, or since 1970 where processes share what they have seen.
            capacity: Users that are kept.
        """
        self._shared = shared
        self._clock = clock or (monotonic if shared is None else time)
        self._capacity = capacity
        self._key = os.urandom(16) if shared is None else shared.key
        self._begin()
        in_children(self._begin)

    def seen(self, user_id: object) -> None:
        """Note that a user did something now."""
        digest = blake2b(str(user_id).encode("utf-8", "replace"), digest_size=8, key=self._key).digest()
        mark = int.from_bytes(digest, "little")
        with self._lock:
            if mark & ((1 << self._halvings) - 1):
                return
            now = self._clock()
            self._seen[mark] = now
            if self._shared is not None:
                self._shared.note(mark, now)
            if len(self._seen) > self._capacity:
                self._make_room()

    def count(self, window_seconds: float) -> float:
        """Return how many distinct users were seen in the last `window_seconds`, at most 24 h."""
        since = self._clock() - window_seconds
        if self._shared is not None:
            everybody = self._shared.everybody()
            return float(sum(at > since for at in everybody.seen.values()) << everybody.halvings)
        with self._lock:
            return float(sum(at > since for at in self._seen.values()) << self._halvings)

    def _begin(self) -> None:
        """Know of nobody: new, or in a forked child, whose parent has seen whom it has seen."""
        self._seen: dict[int, float] = {}
        self._halvings = 0
        self._lock = Lock()

    def _make_room(self) -> None:
        oldest = self._clock() - max(WINDOWS.values())
        self._seen = {mark: at for mark, at in self._seen.items() if at > oldest}
        while len(self._seen) > self._capacity:
            self._halvings += 1
            mask = (1 << self._halvings) - 1
            self._seen = {mark: at for mark, at in self._seen.items() if not mark & mask}
        if self._shared is not None:
            self._shared.keep(self._seen, self._halvings)
