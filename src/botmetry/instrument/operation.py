"""One helper for `def`, `async def` and `with`: counts an operation, writes its event, traces it.

What an operation costs is decided when a function is decorated. If nobody reads events or spans, the wrapper
is four calls; the rest is in `Operation`, made for each call only where somebody does. Nothing here raises
into the host: a failure of the telemetry is handed to `Reporter.failed`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from sys import _getframe
from time import perf_counter
from types import FrameType, TracebackType
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar, cast

from botmetry import context
from botmetry.context import Fields
from botmetry.instrument.outcome import OUTCOMES, Outcome, outcome_of
from botmetry.instrument.report import Description, Reporter
from botmetry.instrument.series import OperationSeries
from botmetry.tracing import Span

__all__ = ["Instrument", "Operation"]

_NOTHING: Final[Fields] = {}
_Run: TypeAlias = "tuple[Span | None, Token[Fields] | None, float]"
"""A run that has begun: its span, what puts back the fields bound around it, when it began by `perf_counter`."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Operation:
    """One run of an operation that can be told what became known meanwhile: in a `with` block.

    Attributes:
        outcome: Set it to `ok`, `error`, `cancelled` or `timeout` when the block ends without an exception but did
            not go well; None leaves it to the exception.
        confidence: For an AI task, the confidence of its answer, 0 to 1.
        instrument: What counts it.
        frame: Where its block is.
        outer: The one whose block its own is inside of.
        ended: Whether its block has ended.
    """

    __slots__ = ("_fields", "_run", "confidence", "ended", "frame", "instrument", "outcome", "outer")

    frame: FrameType
    outer: Operation | None

    def __init__(self, instrument: Instrument, run: _Run) -> None:
        self.outcome: Outcome | None = None
        self.confidence: float | None = None
        self.ended = False
        self.instrument = instrument
        self._fields: dict[str, object] = {}
        self._run = run

    def set(self, **fields: object) -> None:
        """Add fields to the event and the span. They never become labels."""
        self._fields.update(fields)

    def finish(self, error: BaseException | None, result: object = None) -> None:
        """End the operation with its result or the exception that ended it."""
        seconds = perf_counter() - self._run[2]
        told = self.outcome
        outcome = told if told is not None and error is None and told in OUTCOMES else outcome_of(error)
        on_result = self.instrument.on_result
        if on_result is not None and outcome == "ok":
            try:
                on_result(self, result)
            except Exception as failure:  # noqa: BLE001 - see above
                self.instrument.reporter.failed("instrument.on_result", failure)
        self.instrument.end(self._run, seconds, outcome, error, self._fields)


_last_begun: ContextVar[Operation | None] = ContextVar("botmetry_last_begun", default=None)


class Instrument:
    """Counts, logs and traces one kind of operation, as a decorator or a `with` block.

    One object serves any number of threads and tasks, nested runs too. A `with` block ends the run that it began, also
    when it is a generator's and another task or thread closes that.
    """

    __slots__ = (
        "_blocks",
        "_within",
        "active",
        "described",
        "exports",
        "on_result",
        "reporter",
        "series",
        "start",
        "write_success",
    )

    def __init__(
        self,
        described: Description,
        series: OperationSeries,
        reporter: Reporter,
        on_result: Callable[[Operation, object], None] | None = None,
    ) -> None:
        self.described = described
        self.series = series
        self.reporter = reporter
        self.active = reporter.active
        self.exports = reporter.tracer.exports
        self.start = reporter.starter(described)
        self.write_success = reporter.success(described)
        self.on_result = on_result
        self._within: tuple[Fields, Fields] = ({}, described.bound)
        self._blocks: dict[FrameType, list[Operation]] = {}

    def begin(self) -> _Run:
        """Begin a run."""
        span: Span | None = None
        bound: Token[Fields] | None = None
        try:
            self.series.begin()
            if self.active:
                span = self.start()
                if self.described.bound:
                    around, known = context.fields(), self._within
                    bound = context.replace(known[1] if known[0] is around else self._fields_within(around))
        except Exception as error:  # noqa: BLE001 - the host goes on whatever the telemetry does
            self.reporter.failed("instrument.start", error)
        return span, bound, perf_counter()

    def succeed(self, run: _Run, result: object) -> None:
        """End a run that went well: the usual case, on ways prepared for it."""
        if self.on_result is not None:
            Operation(self, run).finish(None, result)
            return
        span, bound, started_at = run
        seconds = perf_counter() - started_at
        try:
            try:
                exemplar = self.reporter.exemplar(span) if self.exports and span is not None else None
                if exemplar is None:
                    self.series.observe(seconds)
                    self.series.succeeded()
                else:
                    self.series.finish(seconds, "ok", "", exemplar)
                if span is not None:
                    self.write_success(seconds)
            finally:
                if span is not None:
                    span.end("ok", None, _NOTHING)
        except Exception as failure:  # noqa: BLE001 - see above
            self.reporter.failed("instrument.finish", failure)
        finally:
            if bound is not None:
                context.unbind(bound)

    def end(
        self, run: _Run, seconds: float, outcome: Outcome, error: BaseException | None, fields: Fields
    ) -> None:
        """End a run, however it went."""
        span, bound, _ = run
        try:
            try:
                exemplar = None if span is None else self.reporter.exemplar(span)
                if outcome == "ok" and exemplar is None:
                    self.series.observe(seconds)
                    self.series.succeeded()
                else:
                    error_type = "" if error is None or outcome == "ok" else type(error).__name__
                    self.series.finish(seconds, outcome, error_type, exemplar)
                if span is not None:
                    self.reporter.write(self.described, seconds, outcome, error, fields)
            finally:
                if span is not None:
                    span.end(outcome, error, fields)
        except Exception as failure:  # noqa: BLE001 - see above
            self.reporter.failed("instrument.finish", failure)
        finally:
            if bound is not None:
                context.unbind(bound)

    def fail(self, run: _Run, error: BaseException) -> None:
        """End a run that raised."""
        self.end(run, perf_counter() - run[2], outcome_of(error), error, _NOTHING)

    def _fields_within(self, around: Fields) -> Fields:
        """Return the bound fields of a run inside of `around`: the same mapping for the same one, as long as it lasts.

        Whoever encodes the fields can tell by this that it has encoded them before.
        """
        whole = {**around, **self.described.bound}
        self._within = (around, whole)
        return whole

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Wrap `function`, which keeps its signature and types; below `@staticmethod` and `@classmethod` or above.

        Raises:
            TypeError: It is a generator function, whose call does no work yet: use `with` inside it.
        """
        if isinstance(function, staticmethod | classmethod):
            return cast("Callable[_P, _R]", type(function)(self(function.__func__)))
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise TypeError(
                f"{self.described.span}: {getattr(function, '__qualname__', function)} is a generator function, and "
                "calling it does no work yet; put a `with` block around the work inside it"
            )
        if not _is_async(function):
            return self._wrap(function)
        awaitable = cast("Callable[_P, Awaitable[Any]]", function)
        return cast("Callable[_P, _R]", self._wrap_async(awaitable))

    def __enter__(self) -> Operation:
        """Begin a run."""
        operation = Operation(self, self.begin())
        frame = operation.frame = _getframe(1)
        self._blocks.setdefault(frame, []).append(operation)
        outer = _last_begun.get()
        while outer is not None and outer.ended:
            outer = outer.outer
        operation.outer = outer
        _last_begun.set(operation)
        return operation

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the run that the same block began; without one, as from an `ExitStack`, what this task began last."""
        last = _last_begun.get()
        here = self._blocks.get(_getframe(1))
        operation = here[-1] if here else self._begun_last(last)
        if operation is None:
            lost = RuntimeError(f"{self.described.span}: a block ended where nothing had begun it")
            self.reporter.failed("instrument.finish", lost)
            return
        here = self._blocks[operation.frame]
        here.remove(operation)
        if not here:
            del self._blocks[operation.frame]
        operation.ended = True
        if last is operation:
            _last_begun.set(operation.outer)
        operation.finish(error)

    def _begun_last(self, last: Operation | None) -> Operation | None:
        while last is not None and (last.ended or last.instrument is not self):
            last = last.outer
        return last

    def _wrap(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        if self.active or self.on_result is not None:

            @wraps(function)
            def reported(*args: _P.args, **kwargs: _P.kwargs) -> _R:
                run = self.begin()
                try:
                    result = function(*args, **kwargs)
                except BaseException as error:
                    self.fail(run, error)
                    raise
                self.succeed(run, result)
                return result

            return reported

        begin, observe, succeeded, failed = self._hot()

        @wraps(function)
        def counted(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            begin()
            start = perf_counter()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                failed(perf_counter() - start, error)
                raise
            observe(perf_counter() - start)
            succeeded()
            return result

        return counted

    def _wrap_async(self, function: Callable[_P, Awaitable[_R]]) -> Callable[_P, Awaitable[_R]]:
        if self.active or self.on_result is not None:

            @wraps(function)
            async def reported(*args: _P.args, **kwargs: _P.kwargs) -> _R:
                run = self.begin()
                try:
                    result = await function(*args, **kwargs)
                except BaseException as error:
                    self.fail(run, error)
                    raise
                self.succeed(run, result)
                return result

            return reported

        begin, observe, succeeded, failed = self._hot()

        @wraps(function)
        async def counted(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            begin()
            start = perf_counter()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                failed(perf_counter() - start, error)
                raise
            observe(perf_counter() - start)
            succeeded()
            return result

        return counted

    def _hot(
        self,
    ) -> tuple[
        Callable[[], None],
        Callable[[float], None],
        Callable[[], None],
        Callable[[float, BaseException], None],
    ]:
        series, reporter = self.series, self.reporter

        def failed(seconds: float, error: BaseException) -> None:
            try:
                series.finish(seconds, outcome_of(error), type(error).__name__)
            except Exception as failure:  # noqa: BLE001 - see above
                reporter.failed("instrument.finish", failure)

        return series.begin, series.observe, series.succeeded, failed


def _is_async(function: Callable[..., object]) -> bool:
    if isinstance(function, type):  # its `__call__` is that of the objects that it makes
        return False
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
