"""What was counted is in the file, whoever interrupts."""

from __future__ import annotations

import dis
import gc
import math
import sys
import threading
from decimal import Decimal
from fractions import Fraction

import pytest

from botmetry.errors import MetricError
from botmetry.metrics.prefork import keeping
from botmetry.metrics.prefork import series as module
from botmetry.metrics.prefork.series import (
    LockedCounter,
    LockedGauge,
    LockedHistogram,
    SharedCounter,
    SharedGauge,
    SharedHistogram,
)

from ...untraced import interrupted_by  # noqa: TID252 -- the tests are no package on any path

PREEMPTED = (
    "CALL",
    "PRECALL",
    "RESUME",
    "JUMP_BACKWARD",
    "POP_JUMP_BACKWARD",
    "SEND",
    "FOR_ITER",
    "BEFORE_WITH",
)


@pytest.mark.parametrize(
    ("function", "memory"),
    [
        (SharedCounter.inc, "cells"),
        (SharedGauge.set, "cells"),
        (SharedGauge.inc, "cells"),
        (SharedHistogram.observe, "cells"),
        (module._store, "slots"),
    ],
)
def test_no_instruction_between_load_and_store_lets_anybody_else_run(function, memory):
    """Nothing at which CPython switches threads or runs a handler lies in the middle of changing a cell."""
    instructions = list(dis.get_instructions(function))
    stores = [
        index
        for index, one in enumerate(instructions)
        if one.opname.startswith(("STORE_SUBSCR", "STORE_SLICE"))
    ]
    assert stores
    for store in stores:
        load = max(index for index in range(store) if instructions[index].argval == memory)
        between = [one.opname for one in instructions[load:store]]
        assert between
        assert not [name for name in between if name.startswith(PREEMPTED)]


@pytest.fixture(params=[False, True], ids=["with the interpreter lock", "without it"])
def one(request, sharing, monkeypatch):
    """A registry with the series of either kind of interpreter."""
    if request.param:
        monkeypatch.setattr(keeping, "_CounterSeries", LockedCounter)
        monkeypatch.setattr(keeping, "_GaugeSeries", LockedGauge)
        monkeypatch.setattr(keeping, "_HistogramSeries", LockedHistogram)
    return sharing()


@pytest.fixture
def hurried():
    """Threads take turns after microseconds instead of milliseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_lose_nothing(one, hurried):
    """Eight threads that count, observe and move a gauge, while another one reads, are counted exactly."""

    def work():
        for _ in range(3_000):
            one.counter.labels("a").inc()
            one.histogram.labels("a").observe(0.5)
            one.gauge.labels("a").inc(2)

    done = threading.Event()
    reader = threading.Thread(target=lambda: [one.registry.render() for _ in iter(done.is_set, True)])
    reader.start()
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()
    assert one.lines() == one.lines() | {
        'done_total{task="a"}': "24000.0",
        'wait_seconds_count{task="a"}': "24000",
        'wait_seconds_sum{task="a"}': "12000.0",
        'open{task="a"}': "48000.0",
    }


def test_signal_handlers_that_count_lose_nothing(one):
    """A handler counts in series that exist and in new ones, in the middle of whatever it interrupts."""
    fired = 0

    def handler():
        nonlocal fired
        fired += 1
        one.counter.labels("a").inc()
        one.histogram.labels("a").observe(0.5)
        one.counter.labels(str(fired)).inc()

    counter, histogram = one.counter.labels("a"), one.histogram.labels("a")
    added = 0
    with interrupted_by(handler):
        while fired < 200:
            counter.inc()
            histogram.observe(0.5)
            one.histogram.labels(str(added)).observe(1) if added < 500 else None
            added += 1
    lines = one.lines()
    assert lines['done_total{task="a"}'] == f"{added + fired}.0"
    assert lines['wait_seconds_count{task="a"}'] == str(added + fired)
    assert all(lines[f'done_total{{task="{number}"}}'] == "1.0" for number in range(1, fired + 1))
    assert one.failures == []


def test_finalizers_that_count_lose_nothing(one):
    """An object counts when it is collected, in the middle of whatever was being done."""

    class Dying:
        def __init__(self):
            self.self = self

        def __del__(self):
            one.counter.labels("dead").inc()
            one.counter.labels(f"dead-{id(self) % 50}").inc()

    thresholds = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for number in range(2_000):
            Dying()
            one.counter.labels(str(number % 300)).inc()
            one.histogram.labels(str(number % 300)).observe(1)
    finally:
        gc.set_threshold(*thresholds)
        gc.collect()
    lines = one.lines()
    assert lines['done_total{task="dead"}'] == "2000.0"
    assert sum(float(value) for line, value in lines.items() if line.startswith("done_total")) == 6_000


@pytest.mark.parametrize(
    ("amount", "total"),
    [(1, 1.0), (True, 1.0), (Decimal("0.5"), 0.5), (Fraction(1, 4), 0.25), (math.inf, math.inf)],
)
def test_whatever_is_a_number_can_be_counted(one, amount, total):
    """Integers, decimals and fractions count as the float nearest to them."""
    one.counter.labels("a").inc(amount)
    one.gauge.labels("a").set(amount)
    one.histogram.labels("a").observe(amount)
    assert one.counter.labels("a").value() == total
    assert one.gauge.labels("a").value() == total
    assert one.histogram.labels("a").state()[1] == total


def test_a_counter_refuses_to_go_down(one):
    """A negative or NaN amount is the caller's mistake and changes nothing."""
    for amount in (-1, math.nan):
        with pytest.raises(MetricError, match="cannot go down"):
            one.counter.labels("a").inc(amount)
    assert one.counter.labels("a").value() == 0


def test_a_value_that_is_no_number_is_reported_and_changes_nothing(one):
    """A histogram counts the numbers around it, and never raises."""
    for value in (0.05, "fast", 0.5, None, 10**400, 2):
        one.histogram.labels("a").observe(value)
    assert one.histogram.labels("a").state() == ([1, 1, 1, 0], 2.55)
    assert [type(error) for error in one.failures] == [ValueError, TypeError, OverflowError]


def test_a_number_that_no_float_holds_is_reported_and_does_not_reach_the_host(one):
    """A counter's caller has counted, and goes on; so does a histogram's."""
    one.counter.labels("a").inc(10**400)
    one.histogram.labels("a").observe(Decimal("sNaN"))
    assert (one.counter.labels("a").value(), one.histogram.labels("a").count()) == (0.0, 0)
    assert [type(error) for error in one.failures] == [OverflowError, ValueError]


def test_an_exemplar_that_is_too_long_is_refused_and_nothing_counted(one):
    """OpenMetrics allows 128 characters; an observation that is refused is not observed."""
    with pytest.raises(MetricError, match="128"):
        one.histogram.labels("a").observe(1.0, {"trace_id": "x" * 128})
    assert one.histogram.labels("a").count() == 0


def test_the_lock_is_taken_where_there_is_no_interpreter_lock():
    """Which series are made follows from the interpreter."""
    assert getattr(sys, "_is_gil_enabled", lambda: True)() is not module.LOCKED
