"""What a scraper asks for is what it gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botmetry.server.negotiation import Format, accepts_gzip, choose_format

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_WITH_NATIVE_HISTOGRAMS = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,"
    + PROMETHEUS_3
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(PROMETHEUS_2_42, Format.OPENMETRICS, id="prometheus-2.42"),
        pytest.param(PROMETHEUS_3, Format.OPENMETRICS, id="prometheus-3"),
        pytest.param(PROMETHEUS_3_WITH_NATIVE_HISTOGRAMS, Format.OPENMETRICS, id="prometheus-3-protobuf"),
        pytest.param("text/plain;version=0.0.4", Format.TEXT, id="text"),
        pytest.param("", Format.TEXT, id="nothing"),
        pytest.param("*/*", Format.TEXT, id="curl"),
        pytest.param(BROWSER, Format.TEXT, id="browser"),
        pytest.param("application/json", Format.TEXT, id="unknown"),
        pytest.param("application/openmetrics-text", Format.OPENMETRICS, id="openmetrics-without-version"),
        pytest.param("application/*", Format.OPENMETRICS, id="application"),
        pytest.param("Application/OpenMetrics-Text; Version=1.0.0", Format.OPENMETRICS, id="upper-case"),
        pytest.param('application/openmetrics-text; version="1.0.0"', Format.OPENMETRICS, id="quoted"),
        pytest.param("application/openmetrics-text;version=0.0.1", Format.TEXT, id="openmetrics-too-old"),
        pytest.param("application/openmetrics-text;version=2.0.0", Format.TEXT, id="openmetrics-too-new"),
        pytest.param(
            "application/openmetrics-text;q=0.3,text/plain;q=0.7", Format.TEXT, id="text-wanted-more"
        ),
        pytest.param(
            "text/plain;q=0.3,application/openmetrics-text;q=0.7",
            Format.OPENMETRICS,
            id="order-means-nothing",
        ),
        pytest.param("text/plain,application/openmetrics-text", Format.OPENMETRICS, id="a-tie"),
        pytest.param("application/openmetrics-text;q=0,*/*;q=0.1", Format.TEXT, id="openmetrics-refused"),
        pytest.param("text/plain;q=0,*/*", Format.OPENMETRICS, id="text-refused"),
        pytest.param("application/openmetrics-text;q=nan", Format.TEXT, id="q-is-no-number"),
        pytest.param("application/openmetrics-text;q=high", Format.TEXT, id="q-is-a-word"),
    ],
)
def test_the_wanted_format_is_chosen(accept, expected):
    """The format with the highest q wins, OpenMetrics wins a tie when it was named, text when in doubt."""
    assert choose_format(accept) is expected


@given(st.text(max_size=300))
def test_no_header_is_too_strange(header):
    """Whatever a client sends as Accept or Accept-Encoding, an answer is chosen without an error."""
    assert choose_format(header) in Format
    assert accepts_gzip(header) in {True, False}


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
    ],
)
def test_gzip_is_used_when_it_is_allowed(accept_encoding, expected):
    """The body is compressed exactly when the scraper allows gzip."""
    assert accepts_gzip(accept_encoding) is expected


def test_the_content_types_are_those_of_prometheus_client():
    """Both content types are letter for letter what prometheus_client sends."""
    assert Format.TEXT.value == "text/plain; version=0.0.4; charset=utf-8"
    assert Format.OPENMETRICS.value == "application/openmetrics-text; version=1.0.0; charset=utf-8"
