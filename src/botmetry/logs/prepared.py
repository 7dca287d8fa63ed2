"""An event of which all but a number is known before it happens: encoded once, and filled in each time.

An operation that went well is one: its name and fields are those of the decorator, and only its duration is new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import orjson

from botmetry import context
from botmetry.settings import LEVELS

if TYPE_CHECKING:
    from botmetry.logs.events import EventLogger

__all__ = ["NO_SPAN", "Prepared", "span_part"]

NO_SPAN: Final = b',"trace_id":null,"span_id":null'


def span_part(span: context.SpanContext) -> bytes:
    """Return a span as it stands in a line."""
    return f',"trace_id":"{span.trace_id}","span_id":"{span.span_id}"'.encode()


class Prepared:
    """Writes one kind of event; see `EventLogger.prepared`.

    Args:
        log: Whose level, clock, redaction and sink it is written with.
        level: One of ours.
        head: Level, event, message and logger, encoded.
        fields: What is the same each time.
        number: The name of what is not.
    """

    __slots__ = (
        "_begin",
        "_bound",
        "_clock",
        "_count",
        "_head",
        "_log",
        "_names",
        "_number",
        "_sink",
    )

    def __init__(
        self, log: EventLogger, level: str, head: bytes, fields: Mapping[str, object], number: str
    ) -> None:
        safe = log.redactor.fields(dict(fields))
        self._log = log
        self._number = LEVELS[level]
        self._names = frozenset((*fields, *safe, number))
        self._head = head
        self._begin = b"," + orjson.dumps({**safe, number: 0})[1:-2]
        self._bound: tuple[Mapping[str, object], bytes] = ({}, b"")
        self._count = log.count[level]
        self._sink = log.sink
        self._clock = log.clock

    def write(self, number: float) -> None:
        """Write the event with this number."""
        log = self._log
        if log.level > self._number:
            return
        try:
            self._count()
            if not self._sink.enabled:
                return
            bound = context.fields()
            known = self._bound
            part = known[1] if known[0] is bound else self._part(bound)
            second, millisecond = log.beginning(self._clock())
            text = b"%.6f}\n" % number if number - number == 0.0 else b"null}\n"
            span = context.span()
            spanned = NO_SPAN if span is None else span_part(span)
            self._sink.write(b"".join((second, millisecond, self._head, spanned, part, text)))
        except Exception as error:  # noqa: BLE001 - a log method must not break the host
            log.failed(error)

    def _part(self, bound: Mapping[str, object]) -> bytes:
        own = {name: value for name, value in bound.items() if name not in self._names}
        safe = self._log.redactor.fields(own)
        part = (b"," + orjson.dumps(safe)[1:-1] if safe else b"") + self._begin
        if safe is own:  # only names, words and numbers: what could change later is encoded each time
            self._bound = (bound, part)
        return part
