"""What is claimed about cost, as data: ours over the peer's, in the same run."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLAIMS", "Claim"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that must hold.

    Attributes:
        title: What is compared, for people.
        ours: The case that measures us, `module:function` in `cases`; of one that measures several figures
            together, `module:function.figure`.
        peer: The case that measures the peer; None where there is nothing to compare with.
        limit: The greatest ratio ours/peer that keeps the claim; None for a ratio that is only shown.
        unit: What a case returns.
        most: The greatest figure of ours that keeps the claim; None for any.
        runs: How often it is run at most, because it takes long; None for as often as the others.
    """

    title: str
    ours: str
    peer: str | None
    limit: float | None
    unit: str
    most: float | None = None
    runs: int | None = None


CLAIMS: tuple[Claim, ...] = (
    Claim("async handler / prometheus-async", "handler:botmetry", "handler:prometheus_async", 0.15, "µs"),
    Claim("async handler / prometheus_client, bound", "handler:botmetry", "handler:client_bound", 0.40, "µs"),
    Claim(
        "async handler / prometheus_client, labels()", "handler:botmetry", "handler:client_labels", None, "µs"
    ),
    Claim(
        "async handler / OpenTelemetry counter and histogram",
        "handler:botmetry",
        "handler:opentelemetry",
        None,
        "µs",
    ),
    Claim(
        "async handler, span not sampled / OpenTelemetry span alone",
        "handler:botmetry_unsampled",
        "handler:opentelemetry_unsampled",
        None,
        "µs",
    ),
    Claim(
        "async handler with event / structlog event alone",
        "handler:botmetry_event",
        "events:structlog",
        0.70,
        "µs",
    ),
    Claim("Counter.inc", "series:counter", "series:client_counter", 0.35, "µs"),
    Claim("Histogram.observe", "series:histogram", "series:client_histogram", 0.25, "µs"),
    Claim("Counter.inc, several processes", "processes:counter", "processes:client_counter", None, "µs"),
    Claim(
        "Histogram.observe, several processes",
        "processes:histogram",
        "processes:client_histogram",
        None,
        "µs",
    ),
    Claim("exposition of 18,000 series", "exposition:render_18k", "exposition:client_18k", 0.08, "ms"),
    Claim("exposition of 180,000 series", "exposition:render_180k", "exposition:client_180k", 0.08, "ms"),
    Claim(
        "event loop lag, p99, 180,000 series scraped each second",
        "loop:botmetry",
        "loop:prometheus_async",
        None,
        "ms",
        most=5.0,
    ),
    Claim(
        "scrape after 10,000 children that ended",
        "processes:scrape_after_children",
        "processes:client_scrape_after_children",
        None,
        "ms",
        runs=1,
    ),
    Claim(
        "miscounted in 30 s by 8 threads and 4 processes",
        "processes:miscounted",
        None,
        None,
        "",
        0.0,
        runs=1,
    ),
    Claim("one event / structlog with orjson", "events:botmetry", "events:structlog", 0.50, "µs"),
    Claim(
        "one event with a new id / structlog with orjson",
        "events:botmetry_new",
        "events:structlog_new",
        None,
        "µs",
    ),
    Claim(
        "a stdlib record / OrjsonFormatter", "events:botmetry_record", "events:orjson_formatter", 0.80, "µs"
    ),
    Claim("memory of 10,000 histogram series", "memory:botmetry", "memory:client", 0.50, "MiB"),
    Claim(
        "import botmetry / import prometheus_client",
        "imports:botmetry",
        "imports:prometheus_client",
        1.20,
        "ms",
    ),
    Claim(
        "importing Telemetry / prometheus_client",
        "imports:telemetry",
        "imports:prometheus_client",
        None,
        "ms",
    ),
    Claim("queue: a task of a backlog / taskiq-redis streams", "drain:midas", "drain:taskiq", 1 / 8, "µs"),
    Claim("queue: a task of a backlog / dramatiq", "drain:midas", "drain:dramatiq", 1 / 8, "µs"),
    Claim(
        "queue: four worker processes / one, tasks that compute 0.1 ms",
        "drain:midas_four_working",
        "drain:midas_working",
        1 / 1.6,
        "µs",
    ),
    # For tasks that do nothing one worker and Redis, side by side, use 1.4 of two cores: at most 1.5 can be gained.
    Claim("queue: four worker processes / one, no-op tasks", "drain:midas_four", "drain:midas", None, "µs"),
    Claim("queue: add_tasks / taskiq's kiq", "enqueue:midas_many", "enqueue:taskiq", 0.10, "µs"),
    Claim("queue: add_tasks / dramatiq's send", "enqueue:midas_many", "enqueue:dramatiq", 0.10, "µs"),
    Claim("queue: add_tasks / streaq's enqueue", "enqueue:midas_many", "enqueue:streaq", 0.10, "µs"),
    Claim(
        "queue: add_tasks / streaq's enqueue_many", "enqueue:midas_many", "enqueue:streaq_many", None, "µs"
    ),
    Claim("queue: add_task / dramatiq's send", "enqueue:midas", "enqueue:dramatiq", None, "µs"),
    *(
        Claim(
            f"queue: idle pickup, {percentile} / {peer}",
            f"pickup:midas.{percentile}",
            f"pickup:{peer}.{percentile}",
            None,
            "ms",
            most=most,
            runs=3,
        )
        for percentile, most in (("p50", 1.5), ("p99", 5.0))
        for peer in ("taskiq", "dramatiq", "streaq")
    ),
    *(
        Claim(
            f"queue: pickup at 70 % of {load} rate, {percentile} / {peer}",
            f"pickup:loaded.midas_{figure}_{percentile}",
            f"pickup:loaded.{peer}_{figure}_{percentile}",
            None,
            "ms",
            runs=1,
        )
        for load, figure in (("its own", "own"), ("the slowest one's", "common"))
        for percentile in ("p50", "p99")
        for peer in ("taskiq", "dramatiq")
    ),
    Claim(
        "queue: CRITICAL's wait / LOW's, p99, all four full",
        "priorities:midas.critical",
        "priorities:midas.low",
        0.05,
        "ms",
        runs=3,
    ),
    Claim("queue: LOW's share, all four full", "priorities:midas.low_share", None, None, "%", runs=3),
    Claim(
        "queue: Redis before and after 1,000,000 tasks",
        "million:midas.redis",
        None,
        None,
        "%",
        most=5.0,
        runs=1,
    ),
    Claim(
        "queue: worker after 100,000 and 1,000,000 tasks",
        "million:midas.worker",
        None,
        None,
        "%",
        most=5.0,
        runs=1,
    ),
)
