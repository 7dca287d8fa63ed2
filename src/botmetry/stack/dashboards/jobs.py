"""Background Jobs: does Celery run what was asked and what is scheduled, in time?"""

from __future__ import annotations

from botmetry.stack.dashboards.alert_line import line_of
from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.panels import Panel, Query, Story, heat, lines, number
from botmetry.stack.dashboards.query import buckets, level, m, quantile, rate, ratio
from botmetry.stack.rulebook import Rulebook

__all__ = ["jobs"]

_ENDED = "succeeded|failed|timed_out|lost"
_FAILED = "failed|timed_out|lost"
_ODD = "retried|revoked|rejected|ignored|timed_out|lost"
_CHOSEN = {"queue": "$queue"}

# Where the log and the traces tell more.
_TASKS = Story("celery.task_finished", "celery.task", "task")
_FAILURES = Story("celery.task_finished", "celery.task", "task", failed=True)


def jobs(rules: Rulebook) -> Board:
    """Build the dashboard."""
    return (
        Board(
            "botmetry-jobs",
            "Background Jobs",
            "Does Celery run what was asked and what is scheduled, in time?",
            "celery",
        )
        .choose("queue", "Queue", f'label_values({m.celery_queue_length.name}{{service=~"$service"}}, queue)')
        .row(
            "Is it fine?",
            workers(rules),
            beat(rules),
            failed_share(),
            waiting(),
            wait(),
            throughput(),
        )
        .row("Queues", lengths(rules), held(), balance())
        .row("Work", states(), failures(), odd(), run_times(), run_time_spread())
        .row("Wait", wait_times(), wait_time_spread())
        .row("Workers and schedules", workers_by_state(rules), schedules(rules))
    )


def workers(rules: Rulebook) -> Panel:
    query = Query(level(m.celery_workers, state="online"))
    says = "Workers that have shown a sign of life at the broker in the last 45 seconds."
    return number("Workers", says, "short", query, line=line_of(rules, "CeleryWorkersGone"))


def beat(rules: Rulebook) -> Panel:
    query = Query(f"time() - {level(m.celery_beat_last_run_timestamp_seconds)}")
    says = "Time since beat last looked at its schedules, which it does every 5 minutes at the latest."
    return number("Beat", says, "s", query, line=line_of(rules, "CeleryBeatStalled"))


def failed_share() -> Panel:
    tasks = m.celery_tasks_total
    share = ratio(rate(tasks, state=_FAILED, **_CHOSEN), rate(tasks, state=_ENDED, **_CHOSEN))
    says = "Share of the tasks that ended which failed, ran out of time or died with their process."
    return number("Failed", says, "percentunit", Query(share))


def waiting() -> Panel:
    query = Query(f"sum({level(m.celery_queue_length, 'queue', 'priority', **_CHOSEN)})")
    return number("Waiting", "Tasks at the broker that no worker has taken.", "short", query)


def wait() -> Panel:
    query = Query(quantile(0.95, m.celery_task_wait_seconds, **_CHOSEN))
    says = "95 of 100 tasks start sooner than this after they were due."
    return number("Wait p95", says, "s", query)


def throughput() -> Panel:
    query = Query(rate(m.celery_tasks_total, state=_ENDED, **_CHOSEN))
    return number("Done", "Tasks that ended, a second.", "ops", query, empty="0")


def lengths(rules: Rulebook) -> Panel:
    query = Query(
        level(m.celery_queue_length, "queue", "priority", **_CHOSEN), "{{queue}} priority {{priority}}"
    )
    says = "As the broker has it; every process that asks sees the same. Waiting is fine while tasks end."
    return lines("Queue length", says, "short", query, line=line_of(rules, "CeleryQueueNotDrained"))


def held() -> Panel:
    query = Query(level(m.celery_unacked_tasks, "queue", **_CHOSEN), "{{queue}}")
    says = "Tasks that workers have: running, fetched ahead, or waiting for their time."
    return lines("Held by workers", says, "short", query)


def balance() -> Panel:
    return lines(
        "In and out",
        "Two lines that part are a backlog in the making.",
        "ops",
        Query(rate(m.celery_tasks_total, "queue", state="published", **_CHOSEN), "{{queue}} published"),
        Query(rate(m.celery_tasks_total, "queue", state=_ENDED, **_CHOSEN), "{{queue}} ended"),
        story=_TASKS,
    )


def states() -> Panel:
    query = Query(rate(m.celery_tasks_total, "task", "state", state=_ENDED, **_CHOSEN), "{{task}} {{state}}")
    return lines("How they ended", "Tasks a second.", "ops", query, story=_TASKS)


def failures() -> Panel:
    tasks = m.celery_tasks_total
    share = ratio(rate(tasks, "task", state=_FAILED, **_CHOSEN), rate(tasks, "task", state=_ENDED, **_CHOSEN))
    says = "Share of each task that failed, ran out of time or died with its process."
    return lines("Failed by task", says, "percentunit", Query(share, "{{task}}"), top=1, story=_FAILURES)


def odd() -> Panel:
    query = Query(rate(m.celery_tasks_total, "task", "state", state=_ODD, **_CHOSEN), "{{task}} {{state}}")
    says = "Retried: runs again later. Lost: its process was killed, often by the memory limit."
    return lines("Out of the ordinary", says, "ops", query, story=Story("celery.task_", "", "task"))


def run_times() -> Panel:
    queries = [
        Query(quantile(share, m.celery_task_runtime_seconds, "task"), f"{{{{task}}}} p{share * 100:g}")
        for share in (0.5, 0.95)
    ]
    says = "Time a run took, in whatever queue. A dot is one traced task."
    return lines("Run time", says, "s", *queries, story=_TASKS)


def run_time_spread() -> Panel:
    query = Query(buckets(m.celery_task_runtime_seconds))
    return heat("Spread of run times", "How many runs took how long.", "s", query, story=_TASKS)


def wait_times() -> Panel:
    queries = [
        Query(
            quantile(share, m.celery_task_wait_seconds, "queue", **_CHOSEN), f"{{{{queue}}}} p{share * 100:g}"
        )
        for share in (0.5, 0.95)
    ]
    says = "From the moment a task was due, which is its publication or its ETA, to its start."
    return lines("Wait", says, "s", *queries, width=12)


def wait_time_spread() -> Panel:
    query = Query(buckets(m.celery_task_wait_seconds, **_CHOSEN))
    return heat("Spread of waits", "How many tasks waited how long.", "s", query, width=12)


def workers_by_state(rules: Rulebook) -> Panel:
    query = Query(level(m.celery_workers, "state"), "{{state}}")
    says = "Online, and lost: went without saying so, within the last day."
    line = line_of(rules, "CeleryWorkersGone")
    return lines("Workers by state", says, "short", query, line=line, width=12)


def schedules(rules: Rulebook) -> Panel:
    query = Query(f"time() - {level(m.celery_beat_last_run_timestamp_seconds, 'schedule')}", "{{schedule}}")
    says = "A sawtooth as high as its interval each. `beat` is beat's own look, by which it is judged."
    line = line_of(rules, "CeleryBeatStalled")
    return lines("Time since the last run", says, "s", query, line=line, width=12)
