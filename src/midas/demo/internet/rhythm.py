"""When people come: a non-homogeneous Poisson process over a day that was compressed to minutes.

The rate follows the hours of a day; the next arrival is found by thinning (Lewis and Shedler, 1979): candidates of a
constant process at the highest rate, each kept with the probability rate / highest rate. The counts in disjoint
intervals are then independent and Poisson distributed with the integral of the rate as their mean.
"""

import random
from dataclasses import dataclass
from itertools import pairwise

# Activity of a messenger by hour, relative to the busiest: asleep until six, small peaks at breakfast and lunch, the
# large one in the evening. Even the quietest hour keeps a quarter: a watched bot is never idle for more than seconds.
ACTIVITY_BY_HOUR = (
    0.35, 0.28, 0.25, 0.25, 0.25, 0.28, 0.40, 0.60, 0.75, 0.72, 0.70, 0.78,
    0.90, 0.85, 0.72, 0.70, 0.75, 0.85, 0.95, 1.00, 1.00, 0.90, 0.70, 0.50,
)  # fmt: skip
FIRST_HOUR = 8.0  # a demonstration begins in the morning, not in the empty night
HOURS = 24


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How many visits a second, by the time since the start."""

    peak_rate: float
    """Visits a second at the busiest hour."""
    day_seconds: float
    """How long one compressed day lasts, in seconds."""

    def hour(self, seconds: float) -> float:
        """Return the hour of the day, 0.0 to below 24.0, so many seconds after the start."""
        return (FIRST_HOUR + HOURS * seconds / self.day_seconds) % HOURS

    def rate(self, seconds: float) -> float:
        """Return visits a second at this moment, linear between the full hours."""
        hour = self.hour(seconds)
        before = int(hour)
        share = hour - before
        left, right = ACTIVITY_BY_HOUR[before], ACTIVITY_BY_HOUR[(before + 1) % HOURS]
        return self.peak_rate * (left + (right - left) * share)

    def expected(self, start: float, end: float) -> float:
        """Return the mean number of arrivals between two times in seconds (the integral of the rate)."""
        step = self.day_seconds / HOURS
        hours = (corner * step for corner in range(int(start / step), int(end / step) + 1))
        grid = [start, *(hour for hour in hours if start < hour < end), end]
        # The rate is linear between full hours, so the trapezium is exact.
        return sum(
            (self.rate(left) + self.rate(right)) / 2 * (right - left) for left, right in pairwise(grid)
        )

    def next_arrival(self, seconds: float, luck: random.Random) -> float:
        """Return the time in seconds of the first arrival after `seconds`."""
        while True:
            seconds += luck.expovariate(self.peak_rate)
            if luck.random() * self.peak_rate <= self.rate(seconds):
                return seconds
