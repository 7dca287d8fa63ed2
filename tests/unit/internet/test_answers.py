"""What the people experienced is counted from delivery to the first thing that reached their chat."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas.demo.internet.answers import AnswerBook
from midas.demo.internet.latencies import GROWTH, SMALLEST_SECONDS, Latencies


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def book(clock):
    return AnswerBook(clock)


def test_the_first_message_in_a_chat_stops_its_clock(book, clock):
    """The latency runs from delivery to the first message of that chat; what comes later or elsewhere is nothing."""
    book.delivered(1, chat_id=7)
    clock.now += 0.25
    book.reached(8)
    clock.now += 0.25
    book.reached(7)
    clock.now += 5
    book.reached(7)
    answers = book.summary()["answers"]
    assert answers["count"] == 1
    assert answers["max"] == pytest.approx(0.5)
    assert answers["p50"] == pytest.approx(0.5, rel=GROWTH - 1)


def test_a_button_is_answered_by_its_own_answer(book, clock):
    """The answer to a callback stops the clock of the button that was pressed and of no other."""
    book.delivered(1, chat_id=7, callback_id="a")
    book.delivered(2, chat_id=7, callback_id="b")
    clock.now += 0.1
    book.called_back("a")
    assert book.summary()["answers"]["count"] == 1
    clock.now += 0.9
    book.reached(7)
    assert book.summary()["answers"]["max"] == pytest.approx(1.0)


def test_what_is_never_answered_is_counted_as_unanswered(book, clock):
    """After fifteen seconds nobody waits any more: unanswered, and a later message answers nothing."""
    book.delivered(1, chat_id=7)
    clock.now += 15.1
    book.reached(7)
    answers = book.summary()["answers"]
    assert (answers["count"], answers["unanswered"]) == (0, 1)
    assert answers["p99"] is None


def test_a_switch_begins_a_new_period_and_keeps_the_whole(book, clock):
    """After a switch the recent figures begin anew, the whole run's go on."""
    for update, seconds in enumerate((0.1, 3.0)):
        book.delivered(update, chat_id=7)
        clock.now += seconds
        book.reached(7)
        book.refused()
        if update == 0:
            book.start_period()
    summary = book.summary()
    assert (summary["answers"]["count"], summary["since_switch"]["count"]) == (2, 1)
    assert (summary["answers"]["errors"], summary["since_switch"]["errors"]) == (2, 1)
    assert summary["since_switch"]["p50"] == pytest.approx(3.0)


@given(st.lists(st.floats(0.0, 150.0), min_size=1, max_size=300), st.floats(0.0, 1.0))
def test_a_quantile_is_at_most_five_per_cent_above_the_true_one(durations, ratio):
    """Whatever was observed, the quantile is never below the true one and at most one bucket above it."""
    latencies = Latencies()
    for duration in durations:
        latencies.observe(duration)
    rank = max(1, -int(-ratio * len(durations) // 1))
    true = sorted(durations)[rank - 1]
    read = latencies.quantile(ratio)
    assert true - 1e-9 <= read <= max(SMALLEST_SECONDS, true * GROWTH) + 1e-9


def test_memory_does_not_grow_with_the_number_of_durations():
    """A hundred thousand durations take as many buckets as one."""
    latencies = Latencies()
    luck = random.Random(1)
    before = len(latencies._counts)
    for _ in range(100_000):
        latencies.observe(luck.expovariate(1.0))
    assert len(latencies._counts) == before
    assert latencies.count == 100_000
    assert latencies.quantile(0.5) == pytest.approx(0.693, rel=0.06)
