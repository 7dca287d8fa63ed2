"""A user is counted once, whoever has served the user."""

from __future__ import annotations

import pytest

from botmetry.metrics.prefork.marks import Marks, united
from botmetry.telemetry.active_users import ActiveUsers


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("botmetry.metrics.prefork.keeping.time.time", clock)
    monkeypatch.setattr("botmetry.metrics.prefork.census.time.time", clock)
    return clock


@pytest.fixture
def users(sharing, clock):
    """The users of a further process, with its registry."""

    def make(capacity: int = 16_384):
        one = sharing()
        return one, ActiveUsers(one.keeping.users(), clock=clock, capacity=capacity)

    return make


def test_users_of_several_processes_are_counted_once(users, clock):
    """Also those whom a process has seen that has ended, until the window is over."""
    (first, here), (second, there) = users(), users()
    for user in range(100):
        here.seen(user)
    clock.now += 200
    for user in range(50, 400):
        there.seen(user)
    first.registry.render()
    assert (here.count(300), here.count(100)) == (400, 350)
    second.end()
    for _ in range(2):
        first.registry.render()
        assert (here.count(300), here.count(100)) == (400, 350)
    clock.now += 200
    here.seen(399)
    first.registry.render()
    assert (here.count(300), here.count(100), here.count(3_600)) == (350, 1, 400)
    clock.now += 86_400
    first.registry.render()
    assert here.count(86_400) == 0


def test_a_process_with_many_users_keeps_a_share_of_them(users):
    """The estimate is good, the places of those who were given up are used again, and no more than needed."""
    (first, here), (_, there) = users(capacity=1_000), users()
    for user in range(20_000):
        here.seen(user)
    for user in range(19_000, 21_000):
        there.seen(user)
    first.registry.render()
    assert here.count(300) == pytest.approx(21_000, rel=0.15)
    assert here.count(300) == there.count(300)
    ((_, header, _),) = first.keeping._ledger.copies()
    assert header.used < 40_000


def test_marks_are_thinned_to_the_fewest():
    """A mark that another process would not have kept does not count."""
    left = Marks(2, {0b100: 5.0, 0b1000: 1.0})
    right = Marks(0, {0b001: 5.0, 0b100: 6.0, 0b1100: 7.0})
    assert united([left, right], since=2.0, capacity=10) == Marks(2, {0b100: 6.0, 0b1100: 7.0})
    assert united([left, right], since=2.0, capacity=1) == Marks(3, {})
