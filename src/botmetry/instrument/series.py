"""What one kind of operation counts: how often, how long, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from botmetry.instrument.outcome import Outcome
from botmetry.metrics import CounterSeries

__all__ = ["UNTIMED", "Observes", "OperationSeries"]


class Observes(Protocol):
    """Takes durations: a histogram's series, or `UNTIMED`."""

    def observe(self, value: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Take a duration in seconds."""
        ...  # a protocol has no body


class _Untimed:
    """Takes the durations of an operation that has no histogram."""

    def observe(self, value: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Let it go."""


UNTIMED: Final[Observes] = _Untimed()
"""For operations that are counted and logged, and so rare that a distribution of their durations says nothing."""


class OperationSeries:
    """The bound series of one operation, such as the command `balance`.

    The outcomes `ok` and `error` exist from the start with an explicit 0: a counter that appears with its first
    error makes `increase()` miss that error.

    Attributes:
        begin: Called when the operation begins.
        observe: Takes the seconds that an operation which went well took.
        succeeded: Counts an operation that went well.
    """

    __slots__ = ("_errors", "_outcomes", "_seconds", "begin", "observe", "succeeded")

    def __init__(
        self,
        seconds: Callable[[str], Observes],
        *,
        outcomes: Callable[[Outcome], CounterSeries] | None = None,
        errors: Callable[[str], CounterSeries] | None = None,
        started: CounterSeries | None = None,
    ) -> None:
        """Bind the series.

        Args:
            seconds: Gives the histogram for an error type, an empty one for operations that went well.
            outcomes: Gives the counter of an outcome.
            errors: Gives the counter of an error type.
            started: Counts beginnings.
        """
        self._seconds = seconds
        self._outcomes = outcomes
        self._errors = errors
        self.begin: Callable[[], None] = _nothing if started is None else started.inc
        self.observe = seconds("").observe
        self.succeeded: Callable[[], None] = _nothing
        if outcomes is not None:
            self.succeeded = outcomes("ok").inc
            outcomes("error")

    def finish(
        self, seconds: float, outcome: Outcome, error_type: str, exemplar: Mapping[str, str] | None = None
    ) -> None:
        """Count an operation by its outcome; `error_type` names the exception class, or is empty."""
        self._seconds(error_type).observe(seconds, exemplar)
        if self._outcomes is not None:
            self._outcomes(outcome).inc(1.0, exemplar)
        if self._errors is not None and outcome in _FAILURES:
            self._errors(error_type or outcome).inc()


_FAILURES: Final = frozenset({"error", "timeout"})


def _nothing() -> None:
    """Take the place of a counter that an operation does not have."""
