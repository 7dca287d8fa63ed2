"""Whatever is counted under whatever label comes out as prometheus_client's own parsers understand it."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as ClientCounter
from prometheus_client import Gauge as ClientGauge
from prometheus_client import Histogram as ClientHistogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from botmetry.metrics import MetricSpec, Registry
from botmetry.metrics.format import valid_unicode

LABELS = st.text(max_size=30)
VALUES = st.floats(allow_nan=True, allow_infinity=True, width=64)
AMOUNTS = st.floats(min_value=0, max_value=1e300)
BUCKETS = (0.005, 0.5, 1.0, 10.0, 1e7)


def registry() -> Registry:
    def failed(metric: str, error: BaseException) -> None:
        raise AssertionError(metric) from error

    return Registry(series_limit=None, failed=failed, overflowed=lambda _: None)


def samples(families):
    found = {}
    for family in families:
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def alike(left, right):
    assert left.keys() == right.keys()
    for key, value in left.items():
        other = right[key]
        assert value == other or (math.isnan(value) and math.isnan(other)), key


@given(st.dictionaries(st.tuples(LABELS, LABELS), AMOUNTS, min_size=1, max_size=8))
def test_counters_with_any_label_round_trip_in_both_formats(totals):
    """Label values of any unicode text, quotes, backslashes and newlines included, come back unchanged."""
    ours = registry()
    counter = ours.counter(MetricSpec("x_total", "counter", "Help with \\ and \n.", ("a", "b")))
    for labels, amount in totals.items():
        counter.labels(*labels).inc(amount)
    expected = {
        ("x_total", (("a", valid_unicode(a)), ("b", valid_unicode(b)))): amount
        for (a, b), amount in totals.items()
    }
    alike(samples(parse_text(ours.render().decode())), expected)
    alike(samples(parse_openmetrics(ours.render(openmetrics=True).decode())), expected)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), VALUES, max_size=6))
def test_gauges_mean_the_same_as_prometheus_client(values):
    """NaN and infinities are written as prometheus_client writes them."""
    ours, theirs = registry(), CollectorRegistry()
    gauge = ours.gauge(MetricSpec("g_ratio", "gauge", "A gauge.", ("x",)))
    client = ClientGauge("g_ratio", "A gauge.", ["x"], registry=theirs)
    for label, value in values.items():
        gauge.labels(label).set(value)
        client.labels(label).set(value)
    alike(samples(parse_text(ours.render().decode())), samples(parse_text(generate_latest(theirs).decode())))


@given(st.lists(st.tuples(st.sampled_from(["a", 'b"', "c%d%%"]), st.floats(-1e6, 1e9)), max_size=400))
@settings(max_examples=50)
def test_histograms_mean_the_same_as_prometheus_client(observed):
    """Buckets and counts are equal, and sums are equal but for rounding."""
    ours, theirs = registry(), CollectorRegistry()
    histogram = ours.histogram(MetricSpec("h_seconds", "histogram", "A histogram.", ("x",), BUCKETS))
    client = ClientHistogram("h_seconds", "A histogram.", ["x"], buckets=BUCKETS, registry=theirs)
    for label, value in observed:
        histogram.labels(label).observe(value)
        client.labels(label).observe(value)
    for text in (ours.render().decode(), generate_latest(ours).decode()):
        left = samples(parse_text(text))
        right = samples(parse_text(generate_latest(theirs).decode()))
        assert left.keys() == right.keys()
        for key, value in left.items():
            assert math.isclose(value, right[key], rel_tol=1e-9, abs_tol=1e-6), key


def test_nan_and_infinity_observed_are_counted_as_prometheus_client_counts_them():
    """NaN is in no bucket and spoils the sum; infinities are in the last and first bucket."""
    for odd in (math.nan, math.inf, -math.inf):
        ours, theirs = registry(), CollectorRegistry()
        histogram = ours.histogram(MetricSpec("h_seconds", "histogram", "A histogram.", (), BUCKETS))
        client = ClientHistogram("h_seconds", "A histogram.", buckets=BUCKETS, registry=theirs)
        for value in (0.2, odd, 3.0):
            histogram.observe(value)
            client.observe(value)
        alike(
            samples(parse_text(ours.render().decode())), samples(parse_text(generate_latest(theirs).decode()))
        )


def test_the_openmetrics_text_of_a_counter_is_prometheus_clients():
    """TYPE carries the base name, the sample `_total`, and the end is marked."""
    ours = registry()
    ours.counter(MetricSpec("wait_seconds_total", "counter", "Waiting.", ())).inc(2.5)
    theirs = CollectorRegistry()
    ClientCounter("wait_seconds", "Waiting.", unit="seconds", registry=theirs).inc(2.5)
    assert ours.render(openmetrics=True).decode() == (
        "# HELP wait_seconds Waiting.\n# TYPE wait_seconds counter\n# UNIT wait_seconds seconds\n"
        "wait_seconds_total 2.5\n# EOF\n"
    )


# prometheus_client 0.26 cannot read a quotation mark in an exemplar's label, not even one that it wrote itself.
UNQUOTED = st.text(st.characters(exclude_characters='"'), max_size=40)


@given(st.dictionaries(st.sampled_from(["trace_id", "span_id"]), UNQUOTED, max_size=2), st.floats(0, 2e7))
def test_exemplars_round_trip(labels, value):
    """An exemplar comes back with its labels and value, and only in OpenMetrics."""
    ours = registry()
    histogram = ours.histogram(MetricSpec("h_seconds", "histogram", "A histogram.", (), BUCKETS))
    histogram.observe(value, labels)
    assert " # {" not in ours.render().decode()
    found = [
        sample.exemplar
        for family in parse_openmetrics(ours.render(openmetrics=True).decode())
        for sample in family.samples
        if sample.exemplar
    ]
    assert [exemplar.value for exemplar in found] == [value]
    assert found[0].labels == {key: valid_unicode(text) for key, text in labels.items()}
