"""Telegram's flood control: a chat and the whole bot may send only so fast, then they are told how long to wait."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import astuple, dataclass

_REMEMBERED_CHATS = 2_000


@dataclass(frozen=True, slots=True)
class FloodLimits:
    """How fast a bot may send. Telegram publishes about one message a second a chat and thirty a second in all."""

    chat_rate: float = 1.0
    chat_burst: float = 20.0
    total_rate: float = 30.0
    total_burst: float = 60.0

    def faster(self, speed: float) -> FloodLimits:
        """Return the limits of a messenger whose clock runs `speed` times as fast (above 0), as its people's does."""
        return FloodLimits(*(limit * speed for limit in astuple(self)))


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class FloodControl:
    """Token buckets, one a chat and one for all."""

    def __init__(self, limits: FloodLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._total = _Bucket(limits.total_burst, clock())
        self._chats: OrderedDict[int, _Bucket] = OrderedDict()

    def wait_seconds(self, chat_id: int) -> int:
        """Take one message's worth; return 0 when it may pass, else how many seconds to wait (1 or more)."""
        now = self._clock()
        limits = self._limits
        chat = self._chats.pop(chat_id, None) or _Bucket(limits.chat_burst, now)
        self._chats[chat_id] = chat
        while len(self._chats) > _REMEMBERED_CHATS:
            self._chats.popitem(last=False)
        _refill(chat, now, limits.chat_rate, limits.chat_burst)
        _refill(self._total, now, limits.total_rate, limits.total_burst)
        missing = max((1 - chat.tokens) / limits.chat_rate, (1 - self._total.tokens) / limits.total_rate)
        if missing > 0:
            return max(1, math.ceil(missing))
        chat.tokens -= 1
        self._total.tokens -= 1
        return 0


def _refill(bucket: _Bucket, now: float, rate: float, burst: float) -> None:
    bucket.tokens = min(burst, bucket.tokens + (now - bucket.at) * rate)
    bucket.at = now
