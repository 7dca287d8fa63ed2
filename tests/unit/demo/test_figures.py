"""The demo's figures are what Prometheus would compute, over restarts of the processes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas.demo.figures import History
from midas.demo.samples import Ledger, Reading, quantile


def exposition(
    requests: int, seconds: dict[str, int], *, auto: int = 0, manual: int = 0, ready: int = 0
) -> str:
    lines = [f'bot_requests_total{{command="balance",outcome="ok"}} {requests}']
    lines += [
        f'bot_request_duration_seconds_bucket{{command="balance",le="{le}"}} {n}' for le, n in seconds.items()
    ]
    lines += [f'ai_confirmations_total{{task="categorize",mode="auto"}} {auto}']
    lines += [f'ai_confirmations_total{{task="categorize",mode="manual"}} {manual}']
    lines += [f'queue_size{{queue="ai",state="ready"}} {ready}', 'queue_size{queue="ai",state="dead"} 7']
    lines += ["# HELP unrelated not looked at", "unrelated{broken"]
    return "\n".join(lines)


def test_counters_of_a_restarted_process_go_on_from_where_its_predecessor_was():
    """A counter that falls back belongs to a new process: what the old one had counted is kept."""
    ledger = Ledger()
    ledger.read(0.0, {"bot": exposition(10, {})})
    ledger.read(1.0, {"bot": exposition(15, {})})
    reading = ledger.read(2.0, {"bot": exposition(2, {})})
    assert reading.counter("bot_requests_total") == 17


def test_counters_are_added_over_processes_and_gauges_are_not():
    """Every process tells the same queue size; each counts its own requests."""
    reading = Ledger().read(0.0, {"one": exposition(3, {}, ready=5), "two": exposition(4, {}, ready=5)})
    assert reading.counter("bot_requests_total") == 7
    assert reading.gauge("queue_size", "ready") == 5


def test_a_process_that_does_not_answer_once_is_not_counted_twice():
    """A missed reading changes nothing about the total."""
    ledger = Ledger()
    ledger.read(0.0, {"bot": exposition(10, {})})
    ledger.read(1.0, {})
    assert ledger.read(2.0, {"bot": exposition(12, {})}).counter("bot_requests_total") == 12


def test_rates_and_shares_are_of_the_last_seconds_and_of_the_whole_run():
    """Live figures forget the past, the final ones count from the beginning."""
    ledger = Ledger()

    def read(at: float, requests: int, auto: int, manual: int) -> Reading:
        buckets = {"0.1": requests, "+Inf": requests}
        return ledger.read(at, {"bot": exposition(requests, buckets, auto=auto, manual=manual)})

    history = History(read(0.0, 0, 0, 0))
    for at in range(10, 201, 10):
        quick = at > 100
        requests = at if not quick else 100 + (at - 100) * 5
        history.add(read(float(at), requests, min(at, 100), max(0, at - 100)))

    live, whole = history.live(), history.whole()
    assert live.requests_per_second == pytest.approx(5.0)
    assert live.auto_confirmed == 0.0
    assert whole.requests_per_second == pytest.approx(600 / 200)
    assert whole.auto_confirmed == pytest.approx(0.5)
    assert whole.requests == 600
    assert whole.p95_seconds == pytest.approx(0.095)
    assert whole.queue_size == 0


def test_nothing_known_is_none_and_not_zero():
    """Before the first observation there is no quantile, no share and no queue size."""
    work = History(Reading(0.0, {}, {})).live()
    assert (work.p95_seconds, work.confidence, work.auto_confirmed, work.queue_size) == (
        None,
        None,
        None,
        None,
    )


def test_a_quantile_above_the_highest_finite_bound_is_that_bound():
    """As histogram_quantile has it: nothing is invented beyond the buckets."""
    assert quantile(0.95, [(1.0, 0.0), (10.0, 1.0), (math.inf, 100.0)]) == 10.0


@given(st.lists(st.floats(0.001, 9.9), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values, ratio):
    """Whatever was observed, interpolation stays within one bucket of the exact quantile."""
    bounds = [0.01, 0.1, 0.5, 1.0, 5.0, 10.0, math.inf]
    buckets = [(bound, float(sum(value <= bound for value in values))) for bound in bounds]
    exact = sorted(values)[max(0, math.ceil(ratio * len(values) - 1e-9) - 1)]
    upper = next(bound for bound in bounds if exact <= bound)
    lower = max([0.0, *(bound for bound in bounds if bound < exact)])
    found = quantile(ratio, buckets)
    assert found is not None
    assert lower - 1e-9 <= found <= upper + 1e-9
