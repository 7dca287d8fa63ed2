"""People arrive as the rhythm says: a Poisson process whose rate is the stated one, decided by the seed."""

import math
import random

import pytest

from midas.demo.internet.rhythm import ACTIVITY_BY_HOUR, Rhythm

RHYTHM = Rhythm(peak_rate=0.5, day_seconds=600.0)


def _arrivals(seed, until, rhythm=RHYTHM):
    luck = random.Random(seed)
    times = []
    now = rhythm.next_arrival(0.0, luck)
    while now < until:
        times.append(now)
        now = rhythm.next_arrival(now, luck)
    return times


def test_the_rate_follows_the_hours_of_the_day():
    """At every full hour the rate is the table's share of the peak, beginning at eight in the morning."""
    for hour, share in enumerate(ACTIVITY_BY_HOUR):
        seconds = ((hour - 8) % 24) / 24 * 600
        assert RHYTHM.hour(seconds) == pytest.approx(hour, abs=1e-9)
        assert RHYTHM.rate(seconds) == pytest.approx(0.5 * share)


def test_the_expected_count_is_the_integral_of_the_rate():
    """Whole days give the mean of the table, and two pieces of an interval add up to the whole."""
    whole = RHYTHM.expected(0, 600)
    assert whole == pytest.approx(0.5 * 600 * sum(ACTIVITY_BY_HOUR) / 24)
    assert RHYTHM.expected(17, 123) + RHYTHM.expected(123, 333) == pytest.approx(RHYTHM.expected(17, 333))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_hour_of_the_day_gets_its_share(seed):
    """Over 200 days the count of each hour stays within four standard deviations of its Poisson mean."""
    days = 200
    counts = [0] * 24
    for time in _arrivals(seed, days * 600.0):
        counts[int(RHYTHM.hour(time))] += 1
    for hour in range(24):
        start = ((hour - 8) % 24) / 24 * 600
        mean = days * RHYTHM.expected(start, start + 25)
        assert abs(counts[hour] - mean) < 4 * math.sqrt(mean), hour


def test_counts_scatter_as_a_poisson_process_does():
    """Over equal intervals at the same hour the variance equals the mean (index of dispersion within 15 % of one)."""
    days = 2000
    rhythm = Rhythm(peak_rate=2.0, day_seconds=60.0)
    counts = [0] * days
    for time in _arrivals(7, days * 60.0, rhythm):
        counts[int(time / 60)] += 1
    mean = sum(counts) / days
    variance = sum((count - mean) ** 2 for count in counts) / (days - 1)
    assert mean == pytest.approx(rhythm.expected(0, 60), rel=0.02)
    assert 0.85 < variance / mean < 1.15


def test_the_seed_decides_the_arrivals():
    """The same seed gives the same times to the last bit, another seed gives others."""
    assert _arrivals(5, 300) == _arrivals(5, 300)
    assert _arrivals(5, 300) != _arrivals(6, 300)
