"""The celery family: tasks published, waited for and run; queues, workers and schedules as the broker tells them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from botmetry.instrument import Description, Instrument, OperationSeries, Outcome
from botmetry.metrics import Counter, CounterSeries, Gauge, HistogramSeries
from botmetry.telemetry.probes import Probes
from botmetry.telemetry.workshop import Kept, Workshop

__all__ = ["Celery", "CeleryProbe", "CeleryState"]


@dataclass(frozen=True, slots=True)
class CeleryState:
    """Celery's broker at one moment.

    Attributes:
        lengths: Tasks that wait, by queue and priority.
        unacked: Tasks that workers hold, by queue.
        workers: Workers by state: `online` are connected, `lost` went without saying so.
        beat: Unix time of the last run, by schedule; under `beat` that of beat's last look at the schedules.
    """

    lengths: Mapping[tuple[str, int], int] = field(default_factory=dict)
    unacked: Mapping[str, int] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=dict)
    beat: Mapping[str, float] = field(default_factory=dict)


CeleryProbe: TypeAlias = Callable[[], Awaitable[CeleryState]]


class Celery:
    """What happens to Celery's tasks. `botmetry.integrations.celery` calls all of this for you."""

    def __init__(self, workshop: Workshop, probes: Probes) -> None:
        self._workshop = workshop
        self._probes = probes
        self._tasks = workshop.counter("celery_tasks_total")
        self._seconds = workshop.histogram("celery_task_runtime_seconds")
        self._wait = workshop.histogram("celery_task_wait_seconds")
        self._length = workshop.gauge("celery_queue_length")
        self._unacked = workshop.gauge("celery_unacked_tasks")
        self._workers = workshop.gauge("celery_workers")
        self._beat = workshop.gauge("celery_beat_last_run_timestamp_seconds")
        self._runs: Kept[tuple[str, str]] = Kept()

    def task(self, task: str, queue: str) -> Instrument:
        """Count, log and trace one run of a task: a decorator or a `with` block.

        The outcome becomes the state: `succeeded`, `failed`, `timed_out` (a TimeoutError, a time limit), `retried`,
        `rejected` and `ignored` (Celery's exceptions of these names), `revoked` (cancelled).
        """
        return self._runs.get_or_make((task, queue), lambda: self._make_task(task, queue))

    def counted(self, task: str, queue: str, state: str) -> None:
        """Count a task that was not run here: `published`, `revoked` before it began, `lost` with its process."""
        self._tasks.labels(task, queue, state).inc()

    def waited(self, queue: str, seconds: float) -> None:
        """Observe the seconds from the moment a task was due to its start; clocks that disagree count as 0."""
        self._workshop.took(self._wait, seconds, queue)

    def watch(self, probe: CeleryProbe, *, timeout: float = 1.0) -> Callable[[], None]:
        """Ask `probe` for the broker's state before each scrape, and give it `timeout` seconds; returns the undo.

        The broker is asked, not this process's memory: that shows a worker or a beat which is gone, too. A probe that
        fails takes the numbers away until it works again, because old ones are worse than none.
        """
        name = "celery.watch"

        async def refresh() -> None:
            self._show(await probe())

        self._probes.add(name, refresh, timeout=timeout, failed=self._hide)

        def undo() -> None:
            self._probes.remove(name, refresh)
            self._hide()

        return undo

    def _show(self, state: CeleryState) -> None:
        lengths: dict[tuple[str, ...], float] = {
            (queue, str(priority)): number for (queue, priority), number in state.lengths.items()
        }
        _set_all(self._length, lengths)
        for gauge, values in (
            (self._unacked, state.unacked),
            (self._workers, state.workers),
            (self._beat, state.beat),
        ):
            _set_all(gauge, {(name,): value for name, value in values.items()})

    def _hide(self) -> None:
        for gauge in (self._length, self._unacked, self._workers, self._beat):
            _set_all(gauge, {})

    def _make_task(self, task: str, queue: str) -> Instrument:
        fields = {"task_type": task, "queue": queue}
        described = Description(
            "celery.task_finished", f"celery.task {task}", "consumer", fields, bound=fields
        )
        series = _TaskSeries(self._seconds.labels(task), self._tasks, task, queue)
        return Instrument(described, series, self._workshop.reporter)


_STATES: Final[Mapping[Outcome, str]] = {
    "ok": "succeeded",
    "error": "failed",
    "cancelled": "revoked",
    "timeout": "timed_out",
}
# Celery says by an exception what becomes of a task; the class tells more than the outcome.
_STATES_BY_ERROR: Final = {
    "Retry": "retried",
    "Reject": "rejected",
    "Ignore": "ignored",
    "SoftTimeLimitExceeded": "timed_out",
}


class _TaskSeries(OperationSeries):
    """The series of one task in one queue."""

    __slots__ = ("_of_state", "_runtime")

    def __init__(self, runtime: HistogramSeries, tasks: Counter, task: str, queue: str) -> None:
        self._of_state: Callable[[str], CounterSeries] = lambda state: tasks.labels(task, queue, state)
        self._runtime = runtime
        super().__init__(lambda _: runtime, outcomes=lambda outcome: self._of_state(_STATES[outcome]))

    def finish(
        self, seconds: float, outcome: Outcome, error_type: str, exemplar: Mapping[str, str] | None = None
    ) -> None:
        """Count a run by its state."""
        self._runtime.observe(seconds, exemplar)
        self._of_state(_STATES_BY_ERROR.get(error_type, _STATES[outcome])).inc(1.0, exemplar)


def _set_all(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Make `values` the only series of a gauge: a queue or schedule that is gone is not shown for ever."""
    for labels, _ in gauge.series():
        if labels not in values:
            gauge.remove(*labels)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
