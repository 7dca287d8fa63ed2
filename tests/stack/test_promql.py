"""One expression at a time against the catalogue."""

import pytest

from botmetry.stack.checks.promql import examine
from botmetry.stack.series import TARGET_LABELS, catalogue_series, recorded

SERIES = catalogue_series()

WRONG = {
    "rate(bot_eror_total[5m])": "emitted by nobody",
    "ai_request_duration_seconds": "is a histogram: use ai_request_duration_seconds_bucket",
    'rate(bot_errors_total{comand="x"}[5m])': "has no label comand",
    "sum by (comand) (rate(bot_errors_total[5m]))": "no such label here",
    "sum(bot_errors_total) > 1": "is a counter",
    "max_over_time(bot_errors_total[5m])": "is a counter",
    "delta(bot_errors_total[5m])": "is a counter",
    "rate(queue_size[5m])": "is a gauge",
    "increase(process_start_time_seconds[5m])": "is a gauge",
    "histogram_quantile(0.9, sum by (task) (rate(ai_request_duration_seconds_bucket[5m])))": "needs the label le",
    "sum by (task) (rate(ai_request_duration_seconds_bucket[5m]))": "drops le",
    "histogram_quantile(0.95, sum by (le) (rate(db_query_duration_seconds_bucket[5m]))) > 3": "is no bucket bound",
    "sum by (job) (up) / sum by (service) (up)": "never match",
    "sum by (job) (up) and on (service) sum by (service) (up)": "both sides need that label",
    "sum by (job (up)": "not PromQL",
    "sum(irate(bot_errors_total[5m])) > 0.1": "sees the last two samples only",
    "rate(bot_errors_total[15s])": "holds fewer than four scrapes",
    "histogram_quantile(95, sum by (le) (rate(event_loop_lag_seconds_bucket[5m])))": "is between 0 and 1",
    '{service="midas-bot"}': "cannot be checked",
}

RIGHT = [
    "sum by (service) (rate(bot_errors_total[5m])) > 0.1",
    "histogram_quantile(0.95, sum by (le) (rate(db_query_duration_seconds_bucket[5m]))) > 2",
    "rate(ai_confidence_ratio_sum[5m]) / rate(ai_confidence_ratio_count[5m])",
    "sum by (le) (increase(event_loop_lag_seconds_bucket[5m]))",
    "sum by (component) (telemetry_errors_total unless telemetry_errors_total offset 15m) > 0",
    "max_over_time(queue_size[1h:1m])",
    "sum(rate(bot_errors_total[1m]))",
    "max_over_time(sum by (queue) (rate(queue_tasks_enqueued_total[5m]))[1h:1m])",
    'absent(up{job="midas-bot"})',
    "topk(3, sum by (metric) (telemetry_series))",
    "time() - process_start_time_seconds > 60",
    "changes(process_start_time_seconds[15m])",
]


@pytest.mark.parametrize("expr", WRONG)
def test_finds(expr: str) -> None:
    """Each kind of mistake is found and named."""
    findings = examine(expr, SERIES).findings
    assert any(WRONG[expr] in finding.message for finding in findings), findings


@pytest.mark.parametrize(
    "expr",
    [
        "sum by (service) (rate(bot_eror_total[5m])) > 0.1",
        "histogram_quantile(0.9, sum by (task, le) (rate(ai_request_seconds_bucket[5m]))) > 10",
        "sum by (task) (rate(ai_request_total[5m])) / sum by (task) (rate(ai_requests_total[5m]))",
        "rate(bot_eror_total[5m]) / on (service) group_left () sum by (service) (rate(bot_errors_total[5m]))",
    ],
)
def test_one_misspelt_name_is_one_fault(expr: str) -> None:
    """What is made of a series that nobody emits may have any label: nothing follows from one mistake."""
    (finding,) = examine(expr, SERIES).findings
    assert "emitted by nobody" in finding.message


@pytest.mark.parametrize("expr", RIGHT)
def test_accepts(expr: str) -> None:
    """Correct queries are not complained about."""
    assert examine(expr, SERIES).findings == []


def test_knows_the_labels_of_results() -> None:
    """What a query yields is known through aggregation, absence, relabelling and many-to-one matches."""
    assert examine("sum by (service, queue) (queue_size)", SERIES).labels == {"service", "queue"}
    assert examine('absent(up{job="a",service="b"})', SERIES).labels == {"job", "service"}
    assert examine(
        'label_replace(up, "host", "$1", "instance", "(.*):.*")', SERIES
    ).labels == TARGET_LABELS | {"host"}
    corrections, decisions = "rate(ai_corrections_total[1h])", "rate(ai_confirmations_total[1h])"
    joined = f"sum by (service, task) ({corrections}) / on (task) group_left () sum by (task) ({decisions})"
    assert examine(joined, SERIES).labels == {"service", "task"}
    assert examine("vector(1)", SERIES).labels == frozenset()


def test_recorded_series_are_known_with_their_labels() -> None:
    """A recording may be queried by the labels that its rule leaves, and no others."""
    series = {**SERIES, "task:x:sum": recorded("task:x:sum", {"task"})}
    assert examine("sum by (task) (task:x:sum)", series).findings == []
    assert examine("sum by (service) (task:x:sum)", series).findings != []
