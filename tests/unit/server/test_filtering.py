"""Single samples can be chosen by the name a reader sees."""

from __future__ import annotations

from botmetry.server.filtering import only_samples

TEXT = b"""# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{path="/a b{c}"} 1.0
requests_total{path="/b"} 2.0
# HELP latency_seconds Latency.
# TYPE latency_seconds histogram
latency_seconds_bucket{le="+Inf"} 3
latency_seconds_count 3
# HELP up Up.
# TYPE up gauge
up 1
"""


def test_samples_keep_their_comments():
    """Chosen samples come with the comments of their family, the others with nothing."""
    assert only_samples(TEXT, frozenset({"requests_total"})) == b"".join(TEXT.splitlines(keepends=True)[:4])
    assert only_samples(TEXT, frozenset({"latency_seconds_count", "up"})) == (
        b"# HELP latency_seconds Latency.\n# TYPE latency_seconds histogram\nlatency_seconds_count 3\n"
        b"# HELP up Up.\n# TYPE up gauge\nup 1\n"
    )


def test_a_name_is_a_whole_name():
    """A part of a name, or the name of a histogram without its suffix, chooses nothing."""
    assert only_samples(TEXT, frozenset({"requests", "latency_seconds", ""})) == b""


def test_openmetrics_keeps_its_end():
    """The mark at the end of an OpenMetrics exposition stays, without which a scraper takes it for cut off."""
    assert only_samples(TEXT + b"# EOF\n", frozenset({"up"})).endswith(b"up 1\n# EOF\n")
