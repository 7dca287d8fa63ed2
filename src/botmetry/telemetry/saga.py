"""The saga family: work in steps, each of them undone when a later one fails."""

from __future__ import annotations

from botmetry.instrument import UNTIMED, Description, Instrument, OperationSeries
from botmetry.telemetry.workshop import KEPT_LIMIT, Kept, Workshop

__all__ = ["Saga"]

_LEVELS = {"completed": "info", "failed": "error"}


class Saga:
    """What happens to sagas.

    A saga is in progress where it was `started` or `resumed`, until it is `finished` or `left` there. One whose process
    dies is in progress nowhere, until another process resumes it.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._started = workshop.counter("saga_started_total")
        self._finished = workshop.counter("saga_finished_total")
        self._steps = workshop.counter("saga_steps_total")
        self._seconds = workshop.histogram("saga_step_duration_seconds")
        self._compensations = workshop.counter("saga_compensations_total")
        self._in_progress = workshop.gauge("saga_in_progress")
        self._taken = workshop.unregistered_counter("saga_taken_total", ("saga",))
        self._given_up = workshop.unregistered_histogram("saga_given_up", ("saga",))
        self._known: set[str] = set()
        self._step_runs: Kept[tuple[str, str]] = Kept()
        self._compensation_runs: Kept[tuple[str, str]] = Kept()

    def started(self, saga: str) -> None:
        """Count a saga that begins here. Use a fixed name: it becomes a label."""
        self._show(saga)
        self._started.labels(saga).inc()
        self._taken.labels(saga).inc()
        self._write("debug", "saga.started", saga=saga)

    def resumed(self, saga: str) -> None:
        """Note that a saga which another process began goes on here; it is not counted as started again."""
        self._show(saga)
        self._taken.labels(saga).inc()
        self._write("info", "saga.resumed", saga=saga)

    def left(self, saga: str) -> None:
        """Note that this process no longer works on a saga which is not finished: its lease was lost, or we stop."""
        self._given_up.labels(saga).observe(0.0)
        self._write("warning", "saga.left", saga=saga)

    def finished(self, saga: str, outcome: str) -> None:
        """Count a saga that ended.

        Args:
            saga: Its name.
            outcome: `completed` when every step was done, `aborted` when all that was done has been undone, `failed`
                when that was not possible.
        """
        self._show(saga)
        self._given_up.labels(saga).observe(0.0)
        self._finished.labels(saga, outcome).inc()
        self._write(_LEVELS.get(outcome, "warning"), "saga.finished", saga=saga, outcome=outcome)

    def step(self, saga: str, step: str) -> Instrument:
        """Count, log and trace one attempt of a step: a decorator or a `with` block."""
        return self._step_runs.get_or_make((saga, step), lambda: self._make_step(saga, step))

    def compensation(self, saga: str, step: str) -> Instrument:
        """Count, log and trace one attempt to undo a step: a decorator or a `with` block."""
        return self._compensation_runs.get_or_make((saga, step), lambda: self._make_compensation(saga, step))

    def _show(self, saga: str) -> None:
        if saga in self._known:
            return
        self._in_progress.labels(saga).set_difference(self._taken.labels(saga), self._given_up.labels(saga))
        for outcome in ("completed", "aborted", "failed"):
            self._finished.labels(saga, outcome)  # an explicit 0 from the start
        if len(self._known) < KEPT_LIMIT:
            self._known.add(saga)

    def _make_step(self, saga: str, step: str) -> Instrument:
        for outcome in ("ok", "error"):
            # A compensation is rare: were its counter not there before, `increase()` would miss the first that fails.
            self._compensations.labels(saga, step, outcome)
        fields = {"saga": saga, "step": step}
        return self._workshop.instrument(
            Description("saga.step_finished", f"saga.step {saga}.{step}", "internal", fields, bound=fields),
            self._seconds,
            saga,
            step,
            requests=self._steps,
        )

    def _make_compensation(self, saga: str, step: str) -> Instrument:
        fields = {"saga": saga, "step": step}
        described = Description(
            "saga.compensation_finished", f"saga.compensation {saga}.{step}", "internal", fields, bound=fields
        )
        series = OperationSeries(
            lambda _: UNTIMED, outcomes=lambda outcome: self._compensations.labels(saga, step, outcome)
        )
        return Instrument(described, series, self._workshop.reporter)

    def _write(self, level: str, event: str, **fields: object) -> None:
        self._workshop.reporter.tell(level, event, fields)
