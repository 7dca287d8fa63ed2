"""What is done behind the conversation: queues, sagas and Celery's jobs."""

from __future__ import annotations

from typing import Final

from botmetry.metrics import buckets
from botmetry.metrics.catalogue.rows import Rows, counter, gauge, histogram

__all__ = ["CELERY", "QUEUE", "SAGA"]

QUEUE: Final[Rows] = (
    counter("queue_tasks_enqueued_total", ("queue", "task"), "Tasks put into the queue."),
    counter(
        "queue_tasks_completed_total", ("queue", "task", "outcome"), "Tasks that were run to an outcome."
    ),
    histogram("queue_task_duration_seconds", ("queue", "task"), buckets.TASK_SECONDS, "Time a task ran."),
    histogram(
        "queue_task_wait_seconds",
        ("queue",),
        buckets.QUEUE_WAIT_SECONDS,
        "Time from enqueueing to the start of the run.",
    ),
    gauge(
        "queue_size",
        ("queue", "state"),
        "Tasks in the queue: ready, delayed, in_flight, dead.",
        across="latest",
    ),
    gauge(
        "queue_oldest_task_age_seconds",
        ("queue",),
        "Age of the oldest task that waits; 0 when none does.",
        across="latest",
    ),
    counter("queue_tasks_recovered_total", ("queue",), "Tasks taken back from a worker that died."),
    counter("queue_tasks_retried_total", ("queue",), "Tasks put back after an error."),
    counter("queue_tasks_dead_lettered_total", ("queue",), "Tasks given up."),
)

SAGA: Final[Rows] = (
    counter("saga_started_total", ("saga",), "Sagas begun."),
    counter(
        "saga_finished_total",
        ("saga", "outcome"),
        "Sagas that ended: completed, aborted (undone), failed (undone in part).",
    ),
    counter("saga_steps_total", ("saga", "step", "outcome"), "Steps run, each attempt."),
    histogram(
        "saga_step_duration_seconds",
        ("saga", "step"),
        buckets.SAGA_STEP_SECONDS,
        "Time an attempt of a step took.",
    ),
    counter(
        "saga_compensations_total",
        ("saga", "step", "outcome"),
        "Steps undone, or not: one that fails leaves the world half changed.",
    ),
    gauge("saga_in_progress", ("saga",), "Sagas that a living process works on."),
    counter(
        "saga_ownership_lost_total",
        ("saga",),
        "Sagas taken over from a process that lives: what it still says of them is refused.",
    ),
    gauge(
        "saga_size",
        ("saga", "state"),
        "Sagas not over: idle, running, waiting, compensating; suspended, compensation_failed need a person.",
        across="latest",
    ),
    gauge(
        "saga_overdue_seconds",
        ("saga",),
        "How long the most overdue saga has waited for an owner; 0 when none does.",
        across="latest",
    ),
)

CELERY: Final[Rows] = (
    counter(
        "celery_tasks_total",
        ("task", "queue", "state"),
        "Tasks by what became of them: published, then succeeded, failed, retried, revoked…",
    ),
    histogram(
        "celery_task_runtime_seconds", ("task",), buckets.CELERY_RUNTIME_SECONDS, "Time a run of a task took."
    ),
    histogram(
        "celery_task_wait_seconds",
        ("queue",),
        buckets.QUEUE_WAIT_SECONDS,
        "Time from the moment a task was due to the start of its run.",
    ),
    gauge("celery_queue_length", ("queue", "priority"), "Tasks that wait at the broker.", across="latest"),
    gauge(
        "celery_unacked_tasks",
        ("queue",),
        "Tasks that workers hold and have not acknowledged: running, fetched ahead or waiting for their time.",
        across="latest",
    ),
    gauge("celery_workers", ("state",), "Workers the broker knows: online, lost.", across="latest"),
    gauge(
        "celery_beat_last_run_timestamp_seconds",
        ("schedule",),
        "When beat last sent a schedule's task, as Unix time; `beat` itself is its last look at the schedules.",
        across="latest",
    ),
)
