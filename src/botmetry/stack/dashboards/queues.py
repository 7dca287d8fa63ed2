"""Queues and Workers: does work keep up with what comes in, and does any of it get lost?"""

from __future__ import annotations

from botmetry.stack.dashboards.alert_line import line_of
from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.panels import Panel, Query, Story, heat, lines, number
from botmetry.stack.dashboards.query import buckets, level, m, quantile, rate, ratio
from botmetry.stack.rulebook import Rulebook

__all__ = ["queues"]

_FAILED = "error|timeout"
_CHOSEN = {"queue": "$queue"}

# Where the log and the traces tell more.
_TASKS = Story("queue.task_finished", "queue.task", "task")
_FAILURES = Story("queue.task_finished", "queue.task", "task", failed=True)


def queues(rules: Rulebook) -> Board:
    """Build the dashboard."""
    return (
        Board(
            "botmetry-queues",
            "Queues and Workers",
            "Does work keep up with what comes in, and is any lost?",
            "queue",
        )
        .choose("queue", "Queue", f'label_values({m.queue_size.name}{{service=~"$service"}}, queue)')
        .row(
            "Is it fine?", ready(rules), oldest(rules), dead(rules), failed_share(rules), throughput(), wait()
        )
        .row("Depth", sizes(rules), age(rules), balance())
        .row(
            "Work",
            outcomes(),
            failures(rules),
            run_times(),
            run_time_spread(),
            wait_times(),
            wait_time_spread(),
        )
        .row("Trouble", recovered(), retried(), given_up(rules))
    )


def ready(rules: Rulebook) -> Panel:
    query = Query(level(m.queue_size, state="ready", **_CHOSEN))
    says = "Tasks that wait for a worker, in the longest queue."
    return number("Waiting", says, "short", query, line=line_of(rules, "QueueBacklog"))


def oldest(rules: Rulebook) -> Panel:
    query = Query(level(m.queue_oldest_task_age_seconds, **_CHOSEN))
    says = "Age of the oldest task that waits: the number users feel."
    return number("Oldest task", says, "s", query, line=line_of(rules, "QueueOldestTaskTooOld"))


def dead(rules: Rulebook) -> Panel:
    query = Query(level(m.queue_size, state="dead", **_CHOSEN))
    return number(
        "Given up",
        "Dead letters that wait for a person.",
        "short",
        query,
        line=line_of(rules, "QueueDeadLetters"),
    )


def failed_share(rules: Rulebook) -> Panel:
    done = m.queue_tasks_completed_total
    share = ratio(rate(done, outcome=_FAILED, **_CHOSEN), rate(done, **_CHOSEN))
    line = line_of(rules, "QueueTasksFailing")
    return number(
        "Failed",
        "Share of tasks that ended in an error or a timeout.",
        "percentunit",
        Query(share),
        line=line,
    )


def throughput() -> Panel:
    query = Query(rate(m.queue_tasks_completed_total, **_CHOSEN))
    return number("Done", "Tasks run to an outcome, a second.", "ops", query, empty="0")


def wait() -> Panel:
    query = Query(quantile(0.95, m.queue_task_wait_seconds, **_CHOSEN))
    return number("Wait p95", "95 of 100 tasks start sooner than this after they were enqueued.", "s", query)


def sizes(rules: Rulebook) -> Panel:
    query = Query(level(m.queue_size, "queue", "state", **_CHOSEN), "{{queue}} {{state}}")
    says = "As Redis has it. Every watcher sees the same, so the largest is shown, not the sum."
    return lines("Queue size", says, "short", query, line=line_of(rules, "QueueBacklog"))


def age(rules: Rulebook) -> Panel:
    query = Query(level(m.queue_oldest_task_age_seconds, "queue", **_CHOSEN), "{{queue}}")
    says = "A straight climb: nobody takes tasks. A sawtooth: a lower priority starves."
    return lines("Age of the oldest task", says, "s", query, line=line_of(rules, "QueueOldestTaskTooOld"))


def balance() -> Panel:
    return lines(
        "In and out",
        "Two lines that part are a backlog in the making.",
        "ops",
        Query(rate(m.queue_tasks_enqueued_total, "queue", "task", **_CHOSEN), "{{queue}} {{task}} in"),
        Query(rate(m.queue_tasks_completed_total, "queue", "task", **_CHOSEN), "{{queue}} {{task}} out"),
        story=_TASKS,
    )


def outcomes() -> Panel:
    query = Query(rate(m.queue_tasks_completed_total, "task", "outcome", **_CHOSEN), "{{task}} {{outcome}}")
    return lines("Outcomes", "Tasks a second by outcome.", "ops", query, story=_TASKS)


def failures(rules: Rulebook) -> Panel:
    done = m.queue_tasks_completed_total
    share = ratio(
        rate(done, "queue", "task", outcome=_FAILED, **_CHOSEN), rate(done, "queue", "task", **_CHOSEN)
    )
    says = "Share of each task that ended in an error or a timeout."
    line = line_of(rules, "QueueTasksFailing")
    return lines(
        "Failed by task",
        says,
        "percentunit",
        Query(share, "{{queue}} {{task}}"),
        line=line,
        top=1,
        story=_FAILURES,
    )


def run_times() -> Panel:
    queries = [
        Query(
            quantile(share, m.queue_task_duration_seconds, "task", **_CHOSEN),
            f"{{{{task}}}} p{share * 100:g}",
        )
        for share in (0.5, 0.95)
    ]
    says = "Time a task ran, without its wait. A dot is one traced task."
    return lines("Run time", says, "s", *queries, story=_TASKS)


def run_time_spread() -> Panel:
    query = Query(buckets(m.queue_task_duration_seconds, **_CHOSEN))
    return heat("Spread of run times", "How many tasks ran how long.", "s", query, story=_TASKS)


def wait_times() -> Panel:
    queries = [
        Query(
            quantile(share, m.queue_task_wait_seconds, "queue", **_CHOSEN), f"{{{{queue}}}} p{share * 100:g}"
        )
        for share in (0.5, 0.95)
    ]
    return lines("Wait", "From enqueueing to the start of the run.", "s", *queries)


def wait_time_spread() -> Panel:
    query = Query(buckets(m.queue_task_wait_seconds, **_CHOSEN))
    return heat("Spread of waits", "How many tasks waited how long.", "s", query)


def recovered() -> Panel:
    query = Query(rate(m.queue_tasks_recovered_total, "queue", **_CHOSEN), "{{queue}}")
    says = "Tasks taken back from workers that died in the middle. Any is worth a look at the workers."
    return lines("Recovered", says, "ops", query)


def retried() -> Panel:
    query = Query(rate(m.queue_tasks_retried_total, "queue", **_CHOSEN), "{{queue}}")
    return lines("Retried", "Tasks put back after an error.", "ops", query)


def given_up(rules: Rulebook) -> Panel:
    return lines(
        "Dead letters",
        "What lies there; on the right, what comes in a second.",
        "short",
        Query(level(m.queue_size, "queue", state="dead", **_CHOSEN), "{{queue}} lying"),
        Query(rate(m.queue_tasks_dead_lettered_total, "queue", **_CHOSEN), "{{queue}} a second", unit="ops"),
        line=line_of(rules, "QueueDeadLetters"),
    )
