"""Statistics that one strange payment cannot spoil.

Means and standard deviations follow every outlier, and a household has one every month: the car repair, the
holiday. The estimates here stay where most of the values are.
"""

from __future__ import annotations

from itertools import combinations
from statistics import fmean, median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAD_TO_SIGMA: Final = 1.4826
"""A normal distribution's standard deviation is its median absolute deviation times 1 / 0.6745."""

MEAN_DEVIATION_TO_SIGMA: Final = 1.2533
"""And its mean absolute deviation times the square root of pi / 2."""


def spread(values: Sequence[float]) -> float:
    """Give the median absolute deviation, scaled to a standard deviation, in the unit of the values.

    Where more than half of the values are equal it would be 0 and make every other value infinitely strange; then
    the mean absolute deviation from the median is taken instead (Iglewicz and Hoaglin 1993, How to Detect and
    Handle Outliers, chapter 3). 0 only when all values are equal.

    >>> round(spread([1.0, 2.0, 3.0, 4.0, 100.0]), 4)
    1.4826
    """
    middle = median(values)
    deviations = [abs(value - middle) for value in values]
    return median(deviations) * MAD_TO_SIGMA or fmean(deviations) * MEAN_DEVIATION_TO_SIGMA


def slope(values: Sequence[float]) -> float:
    """Give the median slope between all pairs of values at the positions 0, 1, 2, …, in their unit a step.

    The Theil-Sen estimator (Theil 1950, Sen 1968): right even if 29 % of the values are arbitrary. Quadratic in
    their number, which is weeks here. 0 with fewer than two values.

    >>> slope([10.0, 12.0, 14.0, 500.0, 18.0])
    2.0
    """
    if len(values) < 2:  # noqa: PLR2004 -- a line has two points
        return 0.0
    return median((values[j] - values[i]) / (j - i) for i, j in combinations(range(len(values)), 2))
