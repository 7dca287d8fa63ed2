"""The queue family: tasks put in, waited for, run, and given up; sizes and ages as the queue's own store tells them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from botmetry.instrument import Description, Instrument
from botmetry.telemetry.probes import Probes
from botmetry.telemetry.workshop import Kept, Workshop

__all__ = ["Queue", "QueueProbe", "QueueState"]


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue at one moment.

    Attributes:
        ready: Tasks that could be taken now.
        delayed: Tasks that wait for their time.
        in_flight: Tasks that a worker has.
        dead: Tasks that were given up and kept.
        oldest_age_seconds: Age of the oldest ready task; 0 when there is none.
    """

    ready: int = 0
    delayed: int = 0
    in_flight: int = 0
    dead: int = 0
    oldest_age_seconds: float = 0.0


QueueProbe: TypeAlias = Callable[[], Awaitable[QueueState]]


class Queue:
    """What happens to tasks in a queue."""

    def __init__(self, workshop: Workshop, probes: Probes) -> None:
        self._workshop = workshop
        self._probes = probes
        self._enqueued = workshop.counter("queue_tasks_enqueued_total")
        self._completed = workshop.counter("queue_tasks_completed_total")
        self._seconds = workshop.histogram("queue_task_duration_seconds")
        self._wait = workshop.histogram("queue_task_wait_seconds")
        self._size = workshop.gauge("queue_size")
        self._oldest = workshop.gauge("queue_oldest_task_age_seconds")
        self._recovered = workshop.counter("queue_tasks_recovered_total")
        self._retried = workshop.counter("queue_tasks_retried_total")
        self._dead = workshop.counter("queue_tasks_dead_lettered_total")
        self._tasks: Kept[tuple[str, str]] = Kept()

    def enqueued(self, queue: str, task: str, count: int = 1) -> None:
        """Count tasks that were put in."""
        self._workshop.add(self._enqueued, count, queue, task)

    def task(self, queue: str, task: str) -> Instrument:
        """Count, log and trace the run of a task: a decorator or a `with` block."""
        return self._tasks.get_or_make((queue, task), lambda: self._make_task(queue, task))

    def waited(self, queue: str, seconds: float) -> None:
        """Observe the seconds from enqueueing to the start of the run; clocks that disagree count as 0."""
        self._workshop.took(self._wait, seconds, queue)

    def recovered(self, queue: str, count: int = 1) -> None:
        """Count tasks taken back from a worker that died."""
        self._workshop.add(self._recovered, count, queue)

    def retried(self, queue: str) -> None:
        """Count a task put back after an error."""
        self._retried.labels(queue).inc()

    def dead_lettered(self, queue: str) -> None:
        """Count a task given up."""
        self._dead.labels(queue).inc()

    def watch(self, queue: str, probe: QueueProbe) -> None:
        """Ask `probe` for the queue's state before each scrape.

        The store itself is asked, not this process's memory: several processes put in and take out. A probe that
        fails takes the queue's sizes away until it works again, because an old size is worse than none.
        """
        for counter in (self._recovered, self._retried, self._dead):
            counter.labels(queue)  # an explicit 0 from the start

        async def refresh() -> None:
            self._show(queue, await probe())

        self._probes.add(f"queue.watch.{queue}", refresh, failed=lambda: self._hide(queue))

    def _show(self, queue: str, state: QueueState) -> None:
        for name in ("ready", "delayed", "in_flight", "dead"):
            self._size.labels(queue, name).set(getattr(state, name))
        self._oldest.labels(queue).set(state.oldest_age_seconds)

    def _hide(self, queue: str) -> None:
        for name in ("ready", "delayed", "in_flight", "dead"):
            self._size.remove(queue, name)
        self._oldest.remove(queue)

    def _make_task(self, queue: str, task: str) -> Instrument:
        fields = {"queue": queue, "task_type": task}
        return self._workshop.instrument(
            Description("queue.task_finished", f"queue.task {task}", "consumer", fields, bound=fields),
            self._seconds,
            queue,
            task,
            requests=self._completed,
        )
