"""Quantiles of any number of durations in constant memory: counts in buckets that grow by five per cent."""

import math
from bisect import bisect_left
from itertools import accumulate

SMALLEST_SECONDS = 0.0005
GROWTH = 1.05  # a quantile read from these buckets is at most 5 % above the true one
BUCKETS = 260  # 0.5 ms * 1.05^260 is about 160 s, longer than anyone waits for an answer


class Latencies:
    """Durations in seconds, remembered as counts."""

    def __init__(self) -> None:
        self._counts = [0] * (BUCKETS + 1)
        self._count = 0
        self._longest = 0.0

    @property
    def count(self) -> int:
        """How many durations were observed."""
        return self._count

    @property
    def longest(self) -> float:
        """The longest duration in seconds, exactly; 0.0 before the first."""
        return self._longest

    def observe(self, seconds: float) -> None:
        """Add one duration; a negative one (a clock that was set back) counts as zero."""
        seconds = max(seconds, 0.0)
        self._counts[_bucket(seconds)] += 1
        self._count += 1
        self._longest = max(self._longest, seconds)

    def quantile(self, ratio: float) -> float | None:
        """Return an upper bound of the quantile in seconds, or None when nothing was observed.

        Args:
            ratio: 0.0 to 1.0; 0.99 is the 99th percentile.
        """
        if not self._count:
            return None
        rank = max(1, math.ceil(ratio * self._count))
        bucket = bisect_left(list(accumulate(self._counts)), rank)
        return min(SMALLEST_SECONDS * GROWTH**bucket, self._longest)


def _bucket(seconds: float) -> int:
    if seconds <= SMALLEST_SECONDS:
        return 0
    return min(BUCKETS, math.ceil(math.log(seconds / SMALLEST_SECONDS, GROWTH)))
