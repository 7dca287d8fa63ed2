"""The hot path loses nothing."""

from __future__ import annotations

import gc
import math
import threading
from decimal import Decimal

import pytest

from botmetry.errors import MetricError
from botmetry.metrics import MetricSpec, Registry
from botmetry.metrics.metric import OVERFLOW_SERIES
from botmetry.metrics.series import FOLD_AT, CounterSeries, GaugeSeries, HistogramSeries, Shared

from ...untraced import interrupted_by  # noqa: TID252 -- the tests are no package on any path


class Failures(list):
    def __call__(self, name, error):
        self.append((name, error))


@pytest.fixture
def failures():
    return Failures()


@pytest.fixture
def shared(failures):
    return Shared("x_seconds", (0.1, 1.0), failures)


def in_threads(number, work):
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_counter_is_exact_under_threads_that_fold_and_read(shared):
    """Eight threads adding while another reads lose no addition."""
    counter = CounterSeries(shared, "")
    done = threading.Event()
    reader = threading.Thread(target=lambda: [counter.value() for _ in iter(done.is_set, True)])
    reader.start()
    in_threads(8, lambda: [counter.inc() for _ in range(20_000)])
    done.set()
    reader.join()
    assert counter.value() == 160_000


def test_a_histogram_is_exact_under_threads(shared):
    """Counts and sum hold every observation of eight threads."""
    histogram = HistogramSeries(shared, "")
    in_threads(8, lambda: [histogram.observe(0.5) for _ in range(10_000)])
    assert histogram.state() == ([0, 80_000, 0], 40_000.0)


def test_a_signal_handler_that_counts_cannot_deadlock_or_lose(shared):
    """A handler that interrupts a fold appends to the list it finds."""
    counter = CounterSeries(shared, "")
    fired = 0

    def handler():
        nonlocal fired
        fired += 1
        for _ in range(FOLD_AT + 1):
            counter.inc()

    added = 0
    with interrupted_by(handler):
        while fired < 100:
            counter.inc()
            counter.value()
            added += 1
    assert counter.value() == added + fired * (FOLD_AT + 1)


def test_a_counter_refuses_to_go_down(shared):
    """A negative or NaN amount is the caller's mistake and changes nothing."""
    counter = CounterSeries(shared, "")
    for amount in (-1, math.nan):
        with pytest.raises(MetricError, match="cannot go down"):
            counter.inc(amount)
    assert counter.value() == 0


def test_a_gauge_keeps_the_order_of_its_calls(shared):
    """`set` after `inc` wins, `inc` after `set` adds, over any number of folds."""
    gauge = GaugeSeries(shared, "")
    for _ in range(FOLD_AT * 3 + 7):
        gauge.inc(5)
    gauge.set(10)
    gauge.dec(3)
    assert gauge.value() == 7


def test_a_gauge_function_that_fails_is_counted_and_shows_nan(shared, failures):
    """A scrape goes on when a user's function raises."""
    gauge = GaugeSeries(shared, "")
    gauge.set_function(lambda: 1 / 0)
    assert math.isnan(gauge.value())
    assert [(name, type(error)) for name, error in failures] == [("x_seconds", ZeroDivisionError)]


def test_a_value_that_is_no_number_spoils_only_itself(shared, failures):
    """Of a batch with a text in it, every number is counted and the text is reported."""
    histogram = HistogramSeries(shared, "")
    for value in (0.05, "fast", 0.5, None, 2):
        histogram.observe(value)
    assert histogram.state() == ([1, 1, 1], 2.55)
    assert [type(error) for _, error in failures] == [ValueError, TypeError]


def test_a_number_that_no_float_holds_costs_no_other_one(shared, failures):
    """It is found when values are added up, after others have been counted: neither they nor a scrape may break."""
    counter, histogram = CounterSeries(shared, ""), HistogramSeries(shared, "")
    for value in (1, 10**400, 2):
        counter.inc(value)
    for value in (0.05, Decimal("NaN"), 0.5):
        histogram.observe(value)
    assert counter.value() == 3
    assert histogram.state()[0] == [1, 1, 0]
    assert [type(error) for _, error in failures] == [OverflowError]


def test_an_exemplar_that_is_too_long_is_refused(shared):
    """OpenMetrics allows 128 characters."""
    with pytest.raises(MetricError, match="128"):
        HistogramSeries(shared, "").observe(1.0, {"trace_id": "x" * 128})


def metric(limit, labels=("command", "outcome")):
    overflowed = []
    registry = Registry(series_limit=limit, failed=Failures(), overflowed=overflowed.append)
    return registry.counter(MetricSpec("x_total", "counter", "Help.", labels)), overflowed


def test_past_its_limit_a_metric_overflows_into_other_and_keeps_the_labels_it_knows():
    """A made-up command becomes `__other__`, and its outcome stays."""
    counter, overflowed = metric(4)
    for command in ("start", "help"):
        for outcome in ("ok", "error"):
            counter.labels(command, outcome).inc()
    for number in range(1000):
        counter.labels(f"made-up-{number}", "error").inc()
    values = {key: series.value() for key, series in counter.series()}
    assert values["__other__", "error"] == 1000
    assert len(values) == 5
    assert overflowed == ["x_total"] * 1000


def test_the_overflow_is_itself_bounded():
    """Labels that all explode end in one series, and memory does not grow."""
    counter, _ = metric(100)
    for number in range(100):
        counter.labels(f"a{number}", f"b{number}").inc()
    for one in range(100):
        for other in range(100):
            counter.labels(f"a{one}", f"b{other}").inc()
            counter.labels(f"x{one}", f"b{other}").inc()
    assert len(counter) <= 100 + OVERFLOW_SERIES + 1
    assert sum(series.value() for _, series in counter.series()) == 100 + 20_000


def test_what_takes_the_place_of_a_removed_series_is_known_from_then_on():
    """Past the limit again, its labels stay and those of the removed one no longer do."""
    found, _ = metric(2)
    for command in ("old", "kept", "beyond"):
        found.labels(command, "ok").inc()
    found.remove("old", "ok")
    found.remove("__other__", "ok")
    found.labels("new", "ok").inc()
    for command in ("new", "old"):
        found.labels(command, "error").inc()
    assert {values for values, _ in found.series()} == {
        ("kept", "ok"),
        ("new", "ok"),
        ("new", "__other__"),
        ("__other__", "__other__"),
    }


def test_no_limit_means_no_limit():
    """`None` keeps every series."""
    counter, overflowed = metric(None, ("x",))
    for number in range(5000):
        counter.labels(number).inc()
    assert (len(counter), overflowed) == (5000, [])


@pytest.mark.parametrize(
    ("values", "named"),
    [(("a",), {}), (("a", "b", "c"), {}), ((), {"command": "a"}), (("a",), {"outcome": "b"})],
)
def test_wrong_labels_are_a_clear_error(values, named):
    """The error names the metric and its labels."""
    counter, _ = metric(None)
    with pytest.raises(MetricError, match=r"x_total.*command.*outcome"):
        counter.labels(*values, **named)


def test_a_label_value_of_any_kind_is_its_text():
    """Also one that no dictionary takes as a key."""
    found, _ = metric(None, ("command",))
    for value in (["a"], {"b": 1}, None, b"c"):
        found.labels(value).inc()
    assert [values for values, _ in found.series()] == [("['a']",), ("{'b': 1}",), ("None",), ("b'c'",)]


@pytest.mark.parametrize("limit", [0, -1, "5"])
def test_a_limit_that_leaves_no_series_is_refused_where_it_is_given(limit):
    """The first look-up, in the middle of the program's work, would be the one that fails."""
    with pytest.raises(MetricError, match="series_limit"):
        Registry(series_limits={"x_total": limit}, failed=Failures(), overflowed=print)
    with pytest.raises(MetricError, match="series_limit"):
        Registry(failed=Failures(), overflowed=print).limit("x_total", limit)


def test_labels_by_name_and_by_position_are_one_series():
    """Order of names does not matter, and numbers are their text."""
    counter, _ = metric(None)
    assert counter.labels(outcome="ok", command=7) is counter.labels("7", "ok")


def test_declaring_alike_returns_the_metric_and_unlike_is_refused():
    """A module that is loaded twice declares nothing twice."""
    registry = Registry(failed=Failures(), overflowed=lambda _: None)
    spec = MetricSpec("x_total", "counter", "Help.", ("a",))
    assert registry.counter(spec) is registry.counter(spec)
    with pytest.raises(MetricError, match="declared already"):
        registry.counter(MetricSpec("x_total", "counter", "Help.", ("b",)))
    with pytest.raises(MetricError, match="collide"):
        registry.gauge(MetricSpec("x", "gauge", "Help."))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("x", "counter", "h"), "_total"),
        (("1x", "gauge", "h"), "digit first"),
        (("x_sum", "gauge", "h"), "belong to histograms"),
        (("x", "gauge", " "), "help text"),
        (("x", "gauge", "h", ("le gal",)), "label name"),
        (("x", "histogram", "h", ("le",), (1.0,)), "label name"),
        (("x", "gauge", "h", ("a", "a")), "twice"),
        (("x", "histogram", "h", (), (2.0, 1.0)), "ascend"),
        (("x", "histogram", "h", (), (1.0, math.inf)), "Inf"),
        (("x", "histogram", "h"), "buckets"),
        (("x", "meter", "h"), "kind"),
    ],
)
def test_a_declaration_that_cannot_be_exposed_is_refused(arguments, reason):
    """The error names the metric and the reason."""
    with pytest.raises(MetricError, match=reason):
        MetricSpec(*arguments)


def test_series_that_are_made_while_garbage_is_collected_break_no_scrape():
    """To collect garbage runs finalizers, and lets other threads run, in the middle of whatever makes an object."""
    registry = Registry(failed=lambda *_: None, overflowed=lambda _: None)
    counter = registry.counter(MetricSpec("done_total", "counter", "Done.", ("task",)))
    for number in range(500):
        counter.labels(str(number))
    made = 0

    def finalize(*_):
        nonlocal made
        made += 1
        counter.labels(f"meanwhile {made}")

    before = gc.get_threshold()
    gc.callbacks.append(finalize)
    gc.set_threshold(1)
    try:
        seen = counter.series()
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(finalize)
    assert made > 0
    assert len(seen) >= 500
