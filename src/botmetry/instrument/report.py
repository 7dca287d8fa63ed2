"""An operation as an event: what it is called, and what becomes of it in the log and in the trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Final, Literal, Protocol

from botmetry.instrument.outcome import Outcome
from botmetry.tracing import Span, SpanKind, Tracer

__all__ = ["Description", "EventLog", "Reporter"]


class EventLog(Protocol):
    """What an operation needs of the event logger."""

    def enabled(self, level: str) -> bool:
        """Whether events of this level are written."""
        ...  # a protocol has no body

    def emit(
        self, level: str, event: str, *, exc_info: BaseException | None = None, fields: Mapping[str, object]
    ) -> None:
        """Write one event."""
        ...  # a protocol has no body

    def prepared(
        self, level: str, event: str, fields: Mapping[str, object], number: str
    ) -> Callable[[float], None]:
        """Return what writes this event; all that changes is the field `number`."""
        ...  # a protocol has no body


@dataclass(frozen=True, slots=True)
class Description:
    """What an operation is called in each of the three signals.

    Attributes:
        event: The log event at its end, such as `bot.request_handled`.
        span: The span's name, such as `bot.command balance`.
        kind: The span's kind.
        fields: What is known from the start: goes into the event and the span.
        bound: Those of the fields that everything inside the operation carries, too.
        ok_level: The level of the event when all went well; `debug` where there are thousands a second.
    """

    event: str
    span: str
    kind: SpanKind = "internal"
    fields: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    bound: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    ok_level: Literal["info", "debug"] = "info"


_LEVELS: Final[Mapping[Outcome, str]] = {"error": "error", "timeout": "warning", "cancelled": "info"}
_QUIETER: Final = ("debug", "info", "warning")
_SEEN: Final = "_botmetry_logged"


@dataclass(frozen=True, slots=True)
class Reporter:
    """Turns operations into spans and log events.

    Attributes:
        log: Where events go, or None when nobody reads them.
        tracer: Where spans come from.
        failed: Takes a failure of the telemetry itself.
    """

    log: EventLog | None
    tracer: Tracer
    failed: Callable[[str, BaseException], None]

    @property
    def active(self) -> bool:
        """Whether anybody sees events or spans; if not, operations only count."""
        return self.log is not None or self.tracer.exports

    def success(self, described: Description) -> Callable[[float], None]:
        """Return what writes the event of an operation that went well and took so many seconds."""
        if self.log is None:
            return _nowhere
        fields = {**described.fields, "outcome": "ok"}
        return self.log.prepared(described.ok_level, described.event, fields, "duration_seconds")

    def starter(self, described: Description) -> Callable[[], Span]:
        """Return what starts a span of the operation."""
        return partial(self.tracer.start, described.span, described.kind, described.fields)

    def exemplar(self, span: Span) -> Mapping[str, str] | None:
        """Return the labels of an exemplar, or None when nobody could look the trace up."""
        if not self.tracer.exports or not span.identity.sampled:
            return None
        return {"trace_id": span.identity.trace_id, "span_id": span.identity.span_id}

    def tell(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write an event that is no operation's end."""
        if self.log is None:
            return
        try:
            self.log.emit(level, event, fields=fields)
        except Exception as error:  # noqa: BLE001 - the host goes on whatever the telemetry does
            self.failed("instrument.tell", error)

    def write(
        self,
        described: Description,
        seconds: float,
        outcome: Outcome,
        error: BaseException | None,
        fields: Mapping[str, object],
    ) -> None:
        """Write the operation's event. A traceback is written by the innermost operation alone.

        What a user did wrong is no fault of the program: an exception whose class has the attribute `log_level`, one of
        `debug`, `info` and `warning`, is counted like any other, and written at that level, with its text instead of a
        traceback.
        """
        level = _LEVELS.get(outcome, described.ok_level)
        told: object = getattr(type(error), "log_level", None) if outcome == "error" else None
        is_quiet = isinstance(told, str) and told in _QUIETER
        if is_quiet:
            level = str(told)
        if self.log is None or not self.log.enabled(level):
            return
        known: dict[str, object] = {
            **described.fields,
            "outcome": outcome,
            "duration_seconds": round(seconds, 6),
        }
        if error is not None and outcome != "cancelled":
            known["error_type"] = type(error).__name__
        if is_quiet:
            known["error"] = str(error)
        known.update(fields)
        self.log.emit(
            level, described.event, exc_info=None if is_quiet else _first_time(error, outcome), fields=known
        )


def _nowhere(_: float) -> None:
    """Write nothing."""


def _first_time(error: BaseException | None, outcome: Outcome) -> BaseException | None:
    if error is None or outcome != "error" or getattr(error, _SEEN, False):
        return None
    try:
        setattr(error, _SEEN, True)
    except AttributeError:  # an exception class with slots: its traceback may appear twice
        return error
    return error
