"""Writes one JSON line an event, with the bound context and the current span, without the stdlib logging machinery.

What is the same in every line of an event (level, name, logger, service) is encoded once and kept. What remains is
one pass over the fields, one call of the encoder and one append to the sink's buffer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import orjson

from botmetry import context
from botmetry.context import SpanContext
from botmetry.logs.convenience import FamilyEvents
from botmetry.logs.plain import text_of
from botmetry.logs.prepared import NO_SPAN, Prepared, span_part
from botmetry.logs.redaction import Redactor
from botmetry.logs.sink import Sink
from botmetry.logs.tracebacks import ExcInfo, traceback_of
from botmetry.settings import LEVELS, LogSettings

__all__ = ["LOGGER", "RESERVED", "EventLogger", "open_log"]

RESERVED: Final = frozenset(
    {"timestamp", "level", "event", "message", "logger", "service", "trace_id", "span_id", "exception"}
)
"""Keys of the line itself. A field or a bound name that is called so is written as `field_<name>`."""

LOGGER: Final = "botmetry"
"""The logger of events; records of other libraries carry the name of theirs."""

_DEBUG, _INFO, _WARNING, _ERROR, _CRITICAL = LEVELS.values()
_EVENTS_REMEMBERED: Final = 1024
_MILLISECONDS: Final = tuple(b'.%03dZ"' % millisecond for millisecond in range(1000))


def open_log(
    service: str,
    settings: LogSettings,
    *,
    counted: Mapping[str, Callable[[], object]],
    failed: Callable[[str, BaseException], object],
    dropped: Callable[[int], object] | None = None,
    span: Callable[[], SpanContext | None] = context.span,
) -> EventLogger:
    """Return the event logger of a service, with a sink of its own. Nothing is opened before the first line.

    Args:
        service: The program's name.
        settings: What is written, and where to.
        counted: What counts a record of each level.
        failed: Called with `"logs"` and an error when a line cannot be made or the output breaks.
        dropped: Called with a number of lines that were lost; when left out, `failed` hears of them.
        span: Tells which span a line belongs to.
    """

    def report(lines: int) -> None:
        failed(
            "logs", BufferError(f"{lines} log lines dropped: the output {settings.output} does not take them")
        )

    sink = Sink(
        settings.output, buffer_bytes=settings.buffer_bytes, on_dropped=dropped or report, on_error=failed
    )
    return EventLogger(service, settings=settings, sink=sink, on_error=failed, count=counted, span=span)


class EventLogger(FamilyEvents):
    """Structured events of one program. Its methods never raise and never wait for the output.

    They are those of the stdlib's loggers: `debug`, `info`, `warning`, `error`, `critical`, and `exception` for an
    error with the exception that is being handled. The first argument names the event, and data goes into keywords.

    Args:
        service: The program's name.
        settings: The least level, what is redacted, how user ids are hashed.
        sink: Takes the encoded lines.
        on_error: Called with `"logs"` and an error when a line cannot be made.
        count: What counts a record of each level.
        clock: Seconds since 1970.
        span: Tells which span a line belongs to.

    Attributes:
        service: The program's name.
        level: The least level that is written, as a number of the stdlib's `logging`.
        redactor: Removes secrets.
        sink: Takes the encoded lines.
        count: What counts a record of each level; whoever writes one calls it.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        service: str,
        *,
        settings: LogSettings,
        sink: Sink,
        on_error: Callable[[str, BaseException], object],
        count: Mapping[str, Callable[[], object]],
        clock: Callable[[], float] = time.time,
        span: Callable[[], SpanContext | None] = context.span,
    ) -> None:
        self.service = service
        self.level = LEVELS[settings.level]
        self.redactor = Redactor(settings.redact_keys, settings.user_id_key, RESERVED)
        self.sink = sink
        self._safe = self.redactor.fields
        self._text = self.redactor.text
        self._on_error = on_error
        self.count = count
        self.clock = clock
        self._span = span
        self._around: dict[tuple[str, str, str], tuple[bytes, bytes]] = {}
        self._bound: tuple[Mapping[str, object], bytes] = ({}, b"")
        self._seen: Mapping[str, object] = {}
        self._second = _second_of(0.0)
        self._heads: dict[str, dict[str, bytes]] = {level: {} for level in LEVELS}
        sink.announce_drops(self._dropped)

    def enabled(self, level: str) -> bool:
        """Whether events of `level` are written. A level that is not ours counts as info."""
        return LEVELS.get(level, _INFO) >= self.level

    def debug(
        self, event: str, /, *, exc_info: ExcInfo = None, message: str | None = None, **fields: object
    ) -> None:
        """Write an event that only the developer of the program needs."""
        if self.level <= _DEBUG:
            self._write("debug", event, message, exc_info, fields)

    def info(
        self, event: str, /, *, exc_info: ExcInfo = None, message: str | None = None, **fields: object
    ) -> None:
        """Write an event of ordinary work.

        Args:
            event: A constant name such as `order.paid`; data goes into `fields`.
            exc_info: An exception whose traceback is written into the field `exception`.
            message: A sentence for people; the event's name when left out.
            fields: Anything. What JSON does not know is written as text.
        """
        if self.level <= _INFO:
            self._write("info", event, message, exc_info, fields)

    def warning(
        self, event: str, /, *, exc_info: ExcInfo = None, message: str | None = None, **fields: object
    ) -> None:
        """Write an event that somebody should look at some time."""
        if self.level <= _WARNING:
            self._write("warning", event, message, exc_info, fields)

    def error(
        self, event: str, /, *, exc_info: ExcInfo = None, message: str | None = None, **fields: object
    ) -> None:
        """Write a failure of one piece of work."""
        if self.level <= _ERROR:
            self._write("error", event, message, exc_info, fields)

    def exception(
        self, event: str, /, *, exc_info: ExcInfo = True, message: str | None = None, **fields: object
    ) -> None:
        """Write a failure with the exception being handled; outside an `except` block it is `error`."""
        if self.level <= _ERROR:
            self._write("error", event, message, exc_info, fields)

    def critical(
        self, event: str, /, *, exc_info: ExcInfo = None, message: str | None = None, **fields: object
    ) -> None:
        """Write a failure after which the program cannot go on as it should."""
        if self.level <= _CRITICAL:
            self._write("critical", event, message, exc_info, fields)

    def emit(
        self,
        level: str,
        event: str,
        *,
        exc_info: ExcInfo = None,
        message: str | None = None,
        fields: Mapping[str, object],
    ) -> None:
        """Write an event of a level that is known only at run time. A level that is not ours counts as info."""
        if LEVELS.get(level, _INFO) >= self.level:
            known = fields if type(fields) is dict else dict(fields)
            self._write(level if level in LEVELS else "info", event, message, exc_info, known)

    def prepared(
        self, level: str, event: str, fields: Mapping[str, object], number: str
    ) -> Callable[[float], None]:
        """Return a function that writes an event of which all but one number is known: encoded now, once.

        Args:
            level: One of ours; a level that is not counts as info.
            event: A constant name.
            fields: What is the same each time.
            number: The field that the function's argument goes into, rounded to millionths.
        """
        level = level if level in LEVELS else "info"
        return Prepared(self, level, self.head(level, event, event, LOGGER), fields, number).write

    def beginning(self, moment: float) -> tuple[bytes, bytes]:
        """Return the timestamp's part of a line of a moment, in seconds since 1970: to the second, and the rest."""
        # Beginning and text of a second are one attribute: a thread never sees one's beginning with another's text.
        second = self._second
        passed = moment - second[0]
        if not 0.0 <= passed < 1.0:
            second = self._second = _second_of(moment)
            passed = moment - second[0]
        return second[1], _MILLISECONDS[int(passed * 1000)]

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all lines so far are written, at most `timeout` seconds; tell whether they are."""
        return self.sink.flush(timeout)

    def close(self) -> None:
        """Write what waits and end the writing thread; a later event starts it again."""
        self.sink.close()

    def failed(self, error: BaseException) -> None:
        """Take note that a line could not be made."""
        with suppress(Exception):  # whoever counts failures may fail; the host must not notice
            self._on_error("logs", error)

    def line(
        self,
        moment: float,
        head: bytes,
        fields: dict[str, Any],
        safe: dict[str, Any] | None,
        exception: str | None,
    ) -> bytes:
        """Return an encoded line. Written out in one piece, `beginning` included, because it is the hot path.

        No parameter has a default or is by keyword only: the interpreter calls such a function the fast way.

        Args:
            moment: When it happened, in seconds since 1970.
            head: Level, event, message and logger, from `head`.
            fields: What else is said.
            safe: What the redactor made of `fields`, or None when it has not seen them yet.
            exception: A traceback.
        """
        part = b""
        bound = context.fields()
        if bound:
            known = self._bound
            if known[0] is bound and fields.keys().isdisjoint(bound):
                part = known[1]
            elif self._seen is bound:
                part = self._bound_part(bound, fields)
            else:  # its first line, and often its only one
                self._seen = bound
                fields, safe = {**bound, **fields}, None  # what the event says wins
        if safe is None:
            safe = self._safe(fields)
        if exception is not None:
            safe = {**safe, "exception": self._text(exception)}
        span = self._span()
        spanned = NO_SPAN if span is None else span_part(span)
        second = self._second
        passed = moment - second[0]
        if not 0.0 <= passed < 1.0:
            second = self._second = _second_of(moment)
            passed = moment - second[0]
        millisecond = _MILLISECONDS[int(passed * 1000)]
        if safe:
            rest = orjson.dumps(safe, option=orjson.OPT_APPEND_NEWLINE)
            return b"".join((second[1], millisecond, head, spanned, part, b",", rest[1:]))
        return b"".join((second[1], millisecond, head, spanned, part, b"}\n"))

    def head(self, level: str, event: str, message: object, logger: str) -> bytes:
        """Return the encoded part of a line that says what it is about."""
        around = self._around.get((level, event, logger)) or self._around_message(level, event, logger)
        said = message if type(message) is str else text_of(message)
        return around[0] + orjson.dumps(self._text(said)) + around[1]

    def _write(
        self, level: str, event: str, message: str | None, exc_info: ExcInfo, fields: dict[str, Any]
    ) -> None:
        try:
            self.count[level]()
            if not self.sink.enabled:
                return
            if type(event) is not str:
                event = text_of(event)
            if message is None:
                head = self._heads[level].get(event) or self._new_head(level, event)
            else:
                head = self.head(level, event, message, LOGGER)
            exception = traceback_of(exc_info) if exc_info else None
            self.sink.write(self.line(self.clock(), head, fields, None, exception))
        except Exception as error:  # noqa: BLE001 - a log method must not break the host
            self.failed(error)

    def _bound_part(self, bound: Mapping[str, object], fields: Mapping[str, object]) -> bytes:
        """Return the bound fields as they are in a line; keep them for further lines of the same piece of work."""
        own = {name: value for name, value in bound.items() if name not in fields}  # what the event says wins
        safe = self._safe(own)
        part = b"," + orjson.dumps(safe)[1:-1] if safe else b""
        # Only names, words and numbers are kept. What could change later is encoded each time.
        if safe is own and len(own) == len(bound):
            self._bound = (bound, part)
        return part

    def _new_head(self, level: str, event: str) -> bytes:
        """Return what is the same in all lines of an event that says nothing but its name."""
        heads = self._heads[level]
        if len(heads) >= _EVENTS_REMEMBERED:  # names are constants; somebody writes data into them
            heads.clear()
        head = heads[event] = self.head(level, event, event, LOGGER)
        return head

    def _around_message(self, level: str, event: str, logger: str) -> tuple[bytes, bytes]:
        before = orjson.dumps({"level": level, "event": self._text(text_of(event))})
        after = orjson.dumps({"logger": self._text(text_of(logger)), "service": self.service})
        if len(self._around) >= _EVENTS_REMEMBERED:
            self._around.clear()
        around = self._around[level, event, logger] = (
            b"," + before[1:-1] + b',"message":',
            b"," + after[1:-1],
        )
        return around

    def _dropped(self, lines: int) -> bytes:
        message = f"{lines} log lines are missing here: the output did not take them"
        head = self.head("warning", "logs.lines_dropped", message, LOGGER)
        return self.line(self.clock(), head, {"lines": lines}, None, None)


def _second_of(moment: float) -> tuple[float, bytes]:
    """Return when the second around `moment` began, and the beginning of the lines of that second."""
    begin = math.floor(moment)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(begin))
    return float(begin), f'{{"timestamp":"{text}'.encode()
