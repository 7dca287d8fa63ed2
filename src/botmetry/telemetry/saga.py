"""The saga family: work in steps, undone when one of them fails; how many sagas are where, as their own store tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from botmetry.instrument import UNTIMED, Description, Instrument, OperationSeries
from botmetry.telemetry.probes import Probes, Refresh
from botmetry.telemetry.workshop import KEPT_LIMIT, Kept, Workshop

__all__ = ["Saga", "SagaCensus", "SagaProbe"]

_LEVELS: Final = {"completed": "info", "failed": "error"}


@dataclass(frozen=True, slots=True)
class SagaCensus:
    """The sagas of one name that are not over, at one moment, whichever processes they are in.

    Attributes:
        idle: Begun, and nobody has worked on them yet.
        running: They go forward.
        waiting: They sleep, or wait for a signal.
        compensating: They go backward.
        suspended: They can go neither way, and wait for a person.
        compensation_failed: They could not be undone, and wait for a person.
        overdue_seconds: How long the most overdue one has waited for an owner: since it was begun, since the end of its
            wait, or since a lease that nobody renewed ran out; 0 when none does.
    """

    idle: int = 0
    running: int = 0
    waiting: int = 0
    compensating: int = 0
    suspended: int = 0
    compensation_failed: int = 0
    overdue_seconds: float = 0.0


SagaProbe: TypeAlias = Callable[[], Awaitable[SagaCensus]]

_STATES: Final = ("idle", "running", "waiting", "compensating", "suspended", "compensation_failed")


class Saga:
    """What happens to sagas.

    A saga is in progress where it was `started` or `resumed`, until it is `finished` or `left` there. One whose process
    dies is in progress nowhere, until another process resumes it.
    """

    def __init__(self, workshop: Workshop, probes: Probes) -> None:
        self._workshop = workshop
        self._probes = probes
        self._started = workshop.counter("saga_started_total")
        self._finished = workshop.counter("saga_finished_total")
        self._steps = workshop.counter("saga_steps_total")
        self._seconds = workshop.histogram("saga_step_duration_seconds")
        self._compensations = workshop.counter("saga_compensations_total")
        self._in_progress = workshop.gauge("saga_in_progress")
        self._lost = workshop.counter("saga_ownership_lost_total")
        self._size = workshop.gauge("saga_size")
        self._overdue = workshop.gauge("saga_overdue_seconds")
        self._taken = workshop.unregistered_counter("saga_taken_total", ("saga",))
        self._given_up = workshop.unregistered_histogram("saga_given_up", ("saga",))
        self._known: set[str] = set()
        self._watched: dict[str, Refresh] = {}
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
        """Note that this process no longer works on a saga which is not finished: it waits, or we stop."""
        self._leave(saga, "info")

    def lost(self, saga: str) -> None:
        """Note that a saga was taken over from this process, whose lease had run out: it is left, and counted."""
        self._lost.labels(saga).inc()
        self._leave(saga, "warning")

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

    def watch(self, saga: str, probe: SagaProbe) -> Callable[[], None]:
        """Ask `probe` for the census of the sagas of one name before each scrape; returns the undo.

        Their store is asked, not this process's memory: that shows a saga which stands still, or which no living
        process takes up. A probe that fails takes the numbers away until it works again, because old ones are worse
        than none. A second probe for a name replaces the first.
        """
        name = f"saga.watch.{saga}"
        self._show(saga)
        self._started.labels(saga)

        async def refresh() -> None:
            self._show_census(saga, await probe())

        def undo() -> None:
            if self._watched.get(saga) is refresh:
                del self._watched[saga]
                self._probes.remove(name, refresh)
                self._hide_census(saga)

        self._watched[saga] = refresh
        self._probes.add(name, refresh, failed=lambda: self._hide_census(saga))
        return undo

    def _leave(self, saga: str, level: str) -> None:
        self._given_up.labels(saga).observe(0.0)
        self._write(level, "saga.left", saga=saga)

    def _show_census(self, saga: str, census: SagaCensus) -> None:
        for state in _STATES:
            self._size.labels(saga, state).set(getattr(census, state))
        self._overdue.labels(saga).set(census.overdue_seconds)

    def _hide_census(self, saga: str) -> None:
        for state in _STATES:
            self._size.remove(saga, state)
        self._overdue.remove(saga)

    def _show(self, saga: str) -> None:
        if saga in self._known:
            return
        self._in_progress.labels(saga).set_difference(self._taken.labels(saga), self._given_up.labels(saga))
        for outcome in ("completed", "aborted", "failed"):
            self._finished.labels(saga, outcome)  # an explicit 0 from the start
        self._lost.labels(saga)
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
