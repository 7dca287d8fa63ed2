"""Brings the records of other libraries, made with the stdlib's `logging`, into the same log in the same form.

python-json-logger says what of a record is data, in any Python version; redaction, context and sink are those of our
own events.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from pythonjsonlogger.core import RESERVED_ATTRS, BaseJsonFormatter

from botmetry.logs.events import EventLogger
from botmetry.logs.plain import text_of
from botmetry.logs.tracebacks import traceback_of
from botmetry.settings import LEVELS

__all__ = ["RecordFormatter", "RecordHandler", "install"]

RECORDED: Final = "log.recorded"
"""The event of a record that brings no `event` of its own among its extras."""

_RESERVED: Final = (*RESERVED_ATTRS, "taskName")
_OWN: Final = tuple(logging.LogRecord("", 0, "", 0, "", None, None).__dict__)
_OWN_COUNT: Final = len(_OWN)
_LAST_OWN: Final = _OWN[-1]
_REMEMBERED: Final = 256
_LONGEST_REMEMBERED: Final = 256  # characters of a message
_LEVELS: Final = {number: level for level, number in LEVELS.items()}


def install(log: EventLogger, logger: logging.Logger | None = None) -> Callable[[], None]:
    """Write the records of `logger` and all loggers below it, and Python's warnings, into `log`.

    The logger's level becomes that of `log`: below it nothing would be written anyway. Handlers that are already
    there stay; a library that does not propagate its records is not heard.

    Args:
        log: Where the records go.
        logger: The root logger unless told otherwise.

    Returns:
        A function that takes all this back.
    """
    target = logging.getLogger() if logger is None else logger
    handler = RecordHandler(log)
    level_before = target.level
    target.addHandler(handler)
    target.setLevel(log.level)
    show_before = warnings.showwarning
    logging.captureWarnings(capture=True)
    captured = warnings.showwarning is not show_before

    def undo() -> None:
        if handler not in target.handlers:
            return
        target.removeHandler(handler)
        if target.level == log.level:
            target.setLevel(level_before)
        if captured:
            logging.captureWarnings(capture=False)

    return undo


class RecordFormatter(BaseJsonFormatter):
    """Formats a record as the line an event of ours would be; also for handlers of your own.

    Args:
        log: Gives the service, the redaction and the form.
    """

    def __init__(self, log: EventLogger) -> None:
        super().__init__((), reserved_attrs=_RESERVED)
        self._reserved = frozenset(self.reserved_attrs)
        self._log = log
        self._picked = log.redactor.picked
        self._head: Callable[[str, str, object, str], bytes] = log.head
        # What has no arguments is mostly said again and again.
        self._known_head = lru_cache(_REMEMBERED)(log.head)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, without the newline."""
        return self.line(record, level_of(record)).decode().rstrip("\n")

    def line(self, record: logging.LogRecord, level: str) -> bytes:
        """Return the record's line, encoded. What most records are takes the short way, anything else `_any_line`."""
        message, attributes = record.msg, record.__dict__
        behind = islice(attributes, _OWN_COUNT - 1, None)  # extras stand behind what every record has
        if (
            type(message) is not str
            or type(record) is not logging.LogRecord
            or next(behind, None) != _LAST_OWN
            or record.exc_info
            or record.exc_text
            or record.stack_info
        ):
            return self._any_line(record, level)
        extras = self._picked(attributes, behind, self._reserved)
        if extras is None:
            return self._any_line(record, level)
        if record.args:
            head = self._head(level, RECORDED, _formatted(record), record.name)
        elif len(message) <= _LONGEST_REMEMBERED:
            head = self._known_head(level, RECORDED, message, record.name)
        else:
            head = self._head(level, RECORDED, message, record.name)
        return self._log.line(record.created, head, extras, extras, None)

    def _any_line(self, record: logging.LogRecord, level: str) -> bytes:
        """Return the line of a record of any class, with any message, extras, exception and stack."""
        # Another handler may have left its own marks there.
        attributes, reserved = record.__dict__, self._reserved
        fields = {name: value for name, value in attributes.items() if name not in reserved}
        message: object = record.msg
        if isinstance(message, dict):  # as python-json-logger understands it: the message is the data
            fields.update((text_of(name), value) for name, value in message.items())
            message = RECORDED
        elif type(message) is not str or record.args or type(record) is not logging.LogRecord:
            message = _formatted(record)
        if record.stack_info:
            fields["stack"] = record.stack_info
        exception = traceback_of(record.exc_info) if record.exc_info else record.exc_text
        event = text_of(fields.pop("event")) if "event" in fields else RECORDED
        head = self._head(level, event, message, record.name)
        return self._log.line(record.created, head, fields, None, exception)


class RecordHandler(logging.Handler):
    """Gives records to an event logger. Like it, the handler never raises and never waits, so it needs no lock."""

    def __init__(self, log: EventLogger) -> None:
        super().__init__(log.level)
        self.log = log
        self._line = RecordFormatter(log).line

    def handle(self, record: logging.LogRecord) -> Any:
        """Write the record unless a filter keeps it back."""
        if self.filters:
            kept = self.filter(record)
            if not kept:
                return kept
            record = kept if isinstance(kept, logging.LogRecord) else record
        log = self.log
        try:
            level = _LEVELS.get(record.levelno) or level_of(record)
            log.count[level]()
            sink = log.sink
            if sink.enabled:
                sink.write(self._line(record, level))
        except Exception as error:  # noqa: BLE001 - whoever logs must not notice
            log.failed(error)
        return record

    def emit(self, record: logging.LogRecord) -> None:
        """Do as `handle`: there is no lock between the two."""
        self.handle(record)


def level_of(record: logging.LogRecord) -> str:
    """Return the highest of our levels that is not above the record's."""
    number = record.levelno
    if not isinstance(number, int):  # a record that somebody put together without a level
        return "info"
    return _LEVELS.get(min(number // 10, 5) * 10, "debug")


def _formatted(record: logging.LogRecord) -> str:
    message, arguments = record.msg, record.args
    try:
        if type(message) is str and type(record) is logging.LogRecord:  # getMessage, without its calls
            return message % arguments
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit their format string, or that have no text
        return f"{text_of(message)} {text_of(arguments)}"
