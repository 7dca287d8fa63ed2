"""Every metric that botmetry emits, as data.

Whatever speaks of a metric starts here: the families, the exposition, the dashboards' queries, the check of
the alert rules, the printed table. A metric that is not in this table does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from botmetry.metrics import buckets
from botmetry.metrics.spec import Across, Kind, MetricSpec

__all__ = ["CATALOGUE", "FAMILIES", "OTHER", "family"]

OTHER = "__other__"
"""The label value into which a metric overflows when it has reached its limit of series."""

_Row = tuple[str, Kind, tuple[str, ...], tuple[float, ...], str]
_N: tuple[float, ...] = ()

_BOT: tuple[_Row, ...] = (
    ("bot_requests_total", "counter", ("command", "outcome"), _N, "Commands handled."),
    (
        "bot_request_duration_seconds",
        "histogram",
        ("command",),
        buckets.BOT_SECONDS,
        "Time a command's handler took.",
    ),
    ("bot_requests_in_progress", "gauge", ("command",), _N, "Commands being handled now."),
    (
        "bot_errors_total",
        "counter",
        ("command", "error_type"),
        _N,
        "Handlers that raised, by exception class.",
    ),
    ("bot_updates_total", "counter", ("type",), _N, "Updates received, by type."),
    ("bot_active_users", "gauge", ("window",), _N, "Distinct users seen in the last 5m, 1h and 24h."),
    ("bot_api_calls_total", "counter", ("method", "outcome"), _N, "Calls to the Bot API."),
    (
        "bot_api_call_duration_seconds",
        "histogram",
        ("method",),
        buckets.BOT_API_SECONDS,
        "Time a Bot API call took.",
    ),
    ("bot_api_retry_after_seconds_total", "counter", (), _N, "Seconds the Bot API told us to wait (429)."),
    (
        "bot_polling_lag_seconds",
        "histogram",
        (),
        buckets.POLLING_LAG_SECONDS,
        "Age of an update when it reached us: now minus the date Telegram gave it.",
    ),
)

_AI: tuple[_Row, ...] = (
    ("ai_requests_total", "counter", ("task", "model", "outcome"), _N, "AI tasks done."),
    (
        "ai_request_duration_seconds",
        "histogram",
        ("task", "model"),
        buckets.AI_SECONDS,
        "Time an AI task took.",
    ),
    ("ai_confidence_ratio", "histogram", ("task",), buckets.RATIO, "Confidence of the answers, 0 to 1."),
    (
        "ai_confirmations_total",
        "counter",
        ("task", "mode"),
        _N,
        "Answers accepted automatically or put to the user.",
    ),
    ("ai_corrections_total", "counter", ("task",), _N, "Answers that a user corrected."),
    ("ai_fallbacks_total", "counter", ("task", "reason"), _N, "Answers given without the model, by reason."),
    ("ai_tokens_total", "counter", ("model", "direction"), _N, "Tokens read (input) and written (output)."),
    ("ai_cost_usd_total", "counter", ("model",), _N, "Money spent on model calls, in US dollars."),
    (
        "gen_ai_client_inference_duration_seconds",
        "histogram",
        ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"),
        buckets.GEN_AI_SECONDS,
        "Time a model call took (OpenTelemetry gen_ai.client.inference.duration).",
    ),
    (
        "gen_ai_client_inference_usage_input_tokens_total",
        "counter",
        ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"),
        _N,
        "Input tokens used (OpenTelemetry gen_ai.client.inference.usage.input_tokens).",
    ),
    (
        "gen_ai_client_inference_usage_output_tokens_total",
        "counter",
        ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"),
        _N,
        "Output tokens used (OpenTelemetry gen_ai.client.inference.usage.output_tokens).",
    ),
)

_TRANSACTIONS: tuple[_Row, ...] = (
    ("transactions_synced_total", "counter", ("source",), _N, "New transactions stored."),
    (
        "transactions_categorized_total",
        "counter",
        ("category", "method"),
        _N,
        "Transactions that got a category.",
    ),
    (
        "transactions_crypto_card_detected_total",
        "counter",
        ("provider",),
        _N,
        "Transactions recognised as payments by a crypto card.",
    ),
    (
        "transactions_sync_duration_seconds",
        "histogram",
        ("source",),
        buckets.SYNC_SECONDS,
        "Time one import took, from bytes to rows.",
    ),
)

_QUEUE: tuple[_Row, ...] = (
    ("queue_tasks_enqueued_total", "counter", ("queue", "task"), _N, "Tasks put into the queue."),
    (
        "queue_tasks_completed_total",
        "counter",
        ("queue", "task", "outcome"),
        _N,
        "Tasks that were run to an outcome.",
    ),
    ("queue_task_duration_seconds", "histogram", ("queue", "task"), buckets.TASK_SECONDS, "Time a task ran."),
    (
        "queue_task_wait_seconds",
        "histogram",
        ("queue",),
        buckets.QUEUE_WAIT_SECONDS,
        "Time from enqueueing to the start of the run.",
    ),
    ("queue_size", "gauge", ("queue", "state"), _N, "Tasks in the queue: ready, delayed, in_flight, dead."),
    (
        "queue_oldest_task_age_seconds",
        "gauge",
        ("queue",),
        _N,
        "Age of the oldest task that waits; 0 when none does.",
    ),
    ("queue_tasks_recovered_total", "counter", ("queue",), _N, "Tasks taken back from a worker that died."),
    ("queue_tasks_retried_total", "counter", ("queue",), _N, "Tasks put back after an error."),
    ("queue_tasks_dead_lettered_total", "counter", ("queue",), _N, "Tasks given up."),
)

_SAGA: tuple[_Row, ...] = (
    ("saga_started_total", "counter", ("saga",), _N, "Sagas begun."),
    (
        "saga_finished_total",
        "counter",
        ("saga", "outcome"),
        _N,
        "Sagas that ended: completed, aborted (undone), failed (undone in part).",
    ),
    ("saga_steps_total", "counter", ("saga", "step", "outcome"), _N, "Steps run, each attempt."),
    (
        "saga_step_duration_seconds",
        "histogram",
        ("saga", "step"),
        buckets.SAGA_STEP_SECONDS,
        "Time an attempt of a step took.",
    ),
    (
        "saga_compensations_total",
        "counter",
        ("saga", "step", "outcome"),
        _N,
        "Steps undone, or not: one that fails leaves the world half changed.",
    ),
    ("saga_in_progress", "gauge", ("saga",), _N, "Sagas that a living process works on."),
)

_CONFIRMATIONS: tuple[_Row, ...] = (
    ("confirmations_pending", "gauge", (), _N, "Confirmations that wait for a user."),
    (
        "confirmations_total",
        "counter",
        ("outcome",),
        _N,
        "Confirmations that ended: confirmed, corrected, expired…",
    ),
    (
        "confirmation_wait_seconds",
        "histogram",
        (),
        buckets.CONFIRMATION_WAIT_SECONDS,
        "Time from the question to the user's decision.",
    ),
)

_DATABASE: tuple[_Row, ...] = (
    (
        "db_queries_total",
        "counter",
        ("operation", "table", "outcome"),
        _N,
        "Statements sent to the database.",
    ),
    (
        "db_query_duration_seconds",
        "histogram",
        ("operation", "table"),
        buckets.DATABASE_SECONDS,
        "Time a statement took, as the client sees it.",
    ),
    ("db_pool_connections", "gauge", ("state",), _N, "Connections of the pool: idle, in_use, max."),
    (
        "db_pool_wait_seconds",
        "histogram",
        (),
        buckets.DATABASE_SECONDS,
        "Time spent waiting for a pooled connection.",
    ),
)

_REDIS: tuple[_Row, ...] = (
    ("redis_operations_total", "counter", ("operation", "outcome"), _N, "Commands sent to Redis."),
    (
        "redis_operation_duration_seconds",
        "histogram",
        ("operation",),
        buckets.DATABASE_SECONDS,
        "Time a Redis command took, as the client sees it.",
    ),
    ("redis_connection_errors_total", "counter", (), _N, "Connections to Redis that failed or broke."),
    ("redis_pool_connections", "gauge", ("state",), _N, "Connections of the pool: idle, in_use, max."),
)

_CELERY: tuple[_Row, ...] = (
    (
        "celery_tasks_total",
        "counter",
        ("task", "queue", "state"),
        _N,
        "Tasks by what became of them: published, then succeeded, failed, retried, revoked…",
    ),
    (
        "celery_task_runtime_seconds",
        "histogram",
        ("task",),
        buckets.CELERY_RUNTIME_SECONDS,
        "Time a run of a task took.",
    ),
    (
        "celery_task_wait_seconds",
        "histogram",
        ("queue",),
        buckets.QUEUE_WAIT_SECONDS,
        "Time from the moment a task was due to the start of its run.",
    ),
    ("celery_queue_length", "gauge", ("queue", "priority"), _N, "Tasks that wait at the broker."),
    (
        "celery_unacked_tasks",
        "gauge",
        ("queue",),
        _N,
        "Tasks that workers hold and have not acknowledged: running, fetched ahead or waiting for their time.",
    ),
    ("celery_workers", "gauge", ("state",), _N, "Workers the broker knows: online, lost."),
    (
        "celery_beat_last_run_timestamp_seconds",
        "gauge",
        ("schedule",),
        _N,
        "When beat last sent a schedule's task, as Unix time; `beat` itself is its last look at the schedules.",
    ),
)

_RUNTIME: tuple[_Row, ...] = (
    (
        "event_loop_lag_seconds",
        "histogram",
        (),
        buckets.LOOP_LAG_SECONDS,
        "How late the event loop ran a timer: what blocks it blocks every user.",
    ),
    ("log_records_total", "counter", ("level",), _N, "Log records, by level."),
    (
        "telemetry_errors_total",
        "counter",
        ("component",),
        _N,
        "Failures of the telemetry itself; it never raises.",
    ),
    ("telemetry_series", "gauge", ("metric",), _N, "Label combinations a metric has."),
    (
        "telemetry_series_overflow_total",
        "counter",
        ("metric",),
        _N,
        "Look-ups of a label combination past the limit, counted under __other__.",
    ),
    ("botmetry_build_info", "info", ("version", "python_version", "service_version"), _N, "What is running."),
)

_PROCESS: tuple[_Row, ...] = (
    ("process_virtual_memory_bytes", "gauge", (), _N, "Virtual memory size in bytes."),
    ("process_resident_memory_bytes", "gauge", (), _N, "Resident memory size in bytes."),
    ("process_start_time_seconds", "gauge", (), _N, "Start time of the process since the Unix epoch."),
    ("process_cpu_seconds_total", "counter", (), _N, "User and system CPU time spent."),
    ("process_open_fds", "gauge", (), _N, "Open file descriptors."),
    ("process_max_fds", "gauge", (), _N, "Limit of open file descriptors."),
    ("python_gc_objects_collected_total", "counter", ("generation",), _N, "Objects collected by the gc."),
    (
        "python_gc_objects_uncollectable_total",
        "counter",
        ("generation",),
        _N,
        "Objects the gc could not free.",
    ),
    ("python_gc_collections_total", "counter", ("generation",), _N, "Runs of the gc, by generation."),
    (
        "python_info",
        "gauge",
        ("version", "implementation", "major", "minor", "patchlevel"),
        _N,
        "The Python that runs this process.",
    ),
)

_TABLES: tuple[tuple[str, str, tuple[_Row, ...]], ...] = (
    ("bot", "botmetry", _BOT),
    ("ai", "botmetry", _AI),
    ("transactions", "botmetry", _TRANSACTIONS),
    ("queue", "botmetry", _QUEUE),
    ("saga", "botmetry", _SAGA),
    ("confirmations", "botmetry", _CONFIRMATIONS),
    ("database", "botmetry", _DATABASE),
    ("redis", "botmetry", _REDIS),
    ("celery", "botmetry", _CELERY),
    ("runtime", "botmetry", _RUNTIME),
    ("runtime", "prometheus_client", _PROCESS),
)

# Gauges that are no sum over processes. Queues, workers and confirmations are counted in the store that all of them
# share, by whichever process was scraped last; users are counted once, whoever served them; an info is 1.
_ACROSS: Mapping[str, Across] = {
    "queue_size": "latest",
    "queue_oldest_task_age_seconds": "latest",
    "confirmations_pending": "latest",
    "celery_queue_length": "latest",
    "celery_unacked_tasks": "latest",
    "celery_workers": "latest",
    "celery_beat_last_run_timestamp_seconds": "latest",
    "bot_active_users": "latest",
    "telemetry_series": "max",
    "botmetry_build_info": "max",
}


def _specs() -> Iterator[MetricSpec]:
    for family_name, source, rows in _TABLES:
        for name, kind, labels, bounds, text in rows:
            across = _ACROSS.get(name, "sum")
            yield MetricSpec(name, kind, text, labels, bounds, family_name, source, across)


CATALOGUE: Mapping[str, MetricSpec] = MappingProxyType({spec.name: spec for spec in _specs()})
"""Every metric by the name that queries use, in the order of the families."""

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(name for name, _, _ in _TABLES))
"""The family names, in order."""


def family(name: str) -> tuple[MetricSpec, ...]:
    """Return the metrics of one family, in order.

    Raises:
        KeyError: There is no such family.
    """
    if name not in FAMILIES:
        raise KeyError(name)
    return tuple(spec for spec in CATALOGUE.values() if spec.family == name)
