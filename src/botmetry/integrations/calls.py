"""A call to a library, observed from around it; an exception that may quote data is named in the log and not shown.

PostgreSQL answers `Key (email)=(a@b.example) already exists`, redis-py adds the arguments of the command that failed:
such text must not get into a log. Nothing here raises into the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple, TypeAlias

from botmetry.instrument import Instrument, Operation
from botmetry.instrument.outcome import Outcome, outcome_of
from botmetry.metrics import Counter

__all__ = ["Failed", "Judge", "TimedCall", "UntimedCall", "Verdict"]


class Verdict(NamedTuple):
    """What is told of a call that raised.

    Attributes:
        outcome: How the call ended.
        fields: What the log says of it, instead of the exception.
        error: What takes the place of the exception where metrics name its class; None for nothing.
    """

    outcome: Outcome
    fields: Mapping[str, object]
    error: Exception | None = None


Judge: TypeAlias = Callable[[BaseException], Verdict | None]
"""Says what is told of an exception; None lets it be logged as it is."""

Failed: TypeAlias = Callable[[str, BaseException], None]
"""Takes a failure of the telemetry itself: `Telemetry.internal_error`."""


class TimedCall:
    """A `with` block that is one operation: metric, event and span.

    Give `started`, by `perf_counter`, for what began before the block: what counts only when it fails.
    """

    __slots__ = ("_failed", "_instrument", "_judge", "_operation", "_started")

    def __init__(
        self, make: Callable[[], Instrument], judge: Judge, failed: Failed, started: float | None = None
    ) -> None:
        self._judge = judge
        self._failed = failed
        self._started = started
        self._instrument: Instrument | None = None
        try:
            self._instrument = make()
        except Exception as error:  # noqa: BLE001 -- the call itself must be made whatever the telemetry does
            failed("integrations", error)

    def __enter__(self) -> Operation | None:
        self._operation: Operation | None = None
        instrument = self._instrument
        if instrument is not None:
            span, bound, now = instrument.begin()
            started = now if self._started is None else self._started
            self._operation = Operation(instrument, (span, bound, started))
        return self._operation

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._operation is None:
            return
        verdict = _judged(self._judge, error, self._failed)
        if verdict is None:
            self._operation.finish(error)
            return
        self._operation.outcome = verdict.outcome
        self._operation.set(**verdict.fields)
        self._operation.finish(verdict.error)


class UntimedCall:
    """A `with` block around a call that waits on purpose, such as `BLPOP` or a long poll: only its outcome is counted.

    How long it took says how long there was nothing to do. As a latency it would drown those of the other calls.
    """

    __slots__ = ("_counter", "_failed", "_judge", "_label")

    def __init__(self, counter: Counter, label: str, judge: Judge, failed: Failed) -> None:
        self._counter = counter
        self._label = label
        self._judge = judge
        self._failed = failed

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        verdict = _judged(self._judge, error, self._failed)
        outcome = outcome_of(error) if verdict is None else verdict.outcome
        try:
            self._counter.labels(self._label, outcome).inc()
        except Exception as failure:  # noqa: BLE001 -- see above
            self._failed("integrations", failure)


def _judged(judge: Judge, error: BaseException | None, failed: Failed) -> Verdict | None:
    if error is None:
        return None
    try:
        return judge(error)
    except Exception as failure:  # noqa: BLE001 -- see above
        failure.__context__ = None  # the exception that must not be quoted
        failed("integrations", failure)
        return Verdict(outcome_of(error), {"error_type": type(error).__name__})
