"""Whatever is logged, it is one line of JSON with the keys of the contract."""

from __future__ import annotations

import logging
from collections import deque
from datetime import timedelta, timezone

import orjson
from hypothesis import given
from hypothesis import strategies as st

from botmetry import context
from botmetry.logs import EventLogger
from botmetry.logs.events import RESERVED
from botmetry.logs.stdlib import RecordHandler
from botmetry.settings import LEVELS, LogSettings

HEAD = ["timestamp", "level", "event", "message", "logger", "service", "trace_id", "span_id"]

texts = st.text(st.characters(), max_size=30)  # lone surrogates included
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    texts,
    st.binary(max_size=20),
    st.decimals(),
    st.fractions(),
    st.complex_numbers(),
    st.datetimes(timezones=st.just(timezone(timedelta(hours=2)))),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.just(object()),
    st.just(int),
    st.just(Exception("x")),
    st.just(...),
)
keys = st.one_of(
    texts, st.integers(), st.none(), st.tuples(st.integers()), st.binary(max_size=5), st.floats()
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(deque),
        st.dictionaries(keys, inner, max_size=4),
        st.sets(st.one_of(st.integers(), texts), max_size=4),
    ),
    max_leaves=10,
)
fields = st.dictionaries(
    st.one_of(texts, st.sampled_from([*sorted(RESERVED), "self", "fields"])), values, max_size=6
)


class Written:
    """Keeps the lines."""

    enabled = True

    def __init__(self) -> None:
        self.raw: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.raw.append(line)

    def announce_drops(self, notice: object) -> None:
        """Take note of nothing."""


COUNT = dict.fromkeys(LEVELS, lambda: None)


def new_log() -> tuple[EventLogger, Written]:
    def fail(_: str, error: BaseException) -> None:
        raise AssertionError from error

    written = Written()
    settings = LogSettings(redact_keys=("geheim",), user_id_key="k")
    return EventLogger("x", settings=settings, sink=written, on_error=fail, count=COUNT), written


def check(written: Written, *, level: str) -> dict[str, object]:
    assert len(written.raw) == 1
    line = written.raw[0]
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert b"\r" not in line
    parsed = orjson.loads(line)
    assert list(parsed)[: len(HEAD)] == HEAD
    assert parsed["level"] == level
    assert parsed["service"] == "x"
    assert parsed["trace_id"] is None
    return parsed


@given(texts, st.none() | texts, fields, fields)
def test_any_event_is_one_line(event, message, said, bound):
    """Any event with any message, fields and context gives exactly one line that JSON can read, and loses no field."""
    log, written = new_log()
    token = context.bind(**{name: value for name, value in bound.items() if name not in {"self", "fields"}})
    try:
        log.emit("info", event, message=message, fields=said)
    finally:
        context.unbind(token)
    line = check(written, level="info")
    expected = {*said, *(name for name in bound if name not in {"self", "fields"})}
    assert len(line) - len(HEAD) == len(expected)


@given(texts, st.lists(scalars, max_size=3).map(tuple), fields, st.integers(20, 60))
def test_any_record_is_one_line(message, arguments, extras, number):
    """Any record of the stdlib, its arguments fitting or not, gives exactly one line that JSON can read."""
    log, written = new_log()
    record = logging.makeLogRecord({"msg": message, "args": arguments, "levelno": number, "name": "other"})
    record.__dict__.update((name, value) for name, value in extras.items() if name not in record.__dict__)
    RecordHandler(log).handle(record)
    levels = {2: "info", 3: "warning", 4: "error"}
    check(written, level=levels.get(number // 10, "critical"))


@given(fields)
def test_extras_of_a_record_are_written_like_fields_of_an_event(said):
    """Whether names and values were seen before or not, a record's extras come out as an event's fields do."""
    log, written = new_log()
    record = logging.makeLogRecord({"msg": "x", "levelno": 20, "name": "botmetry"})
    said = {name: value for name, value in said.items() if name not in {"event", "message"}}
    record.__dict__.update(said)
    for _ in range(3):  # first seen, then remembered
        RecordHandler(log).handle(record)
    log.emit("info", "log.recorded", message="x", fields=said)
    *records, event = (list(orjson.loads(line).items())[1:] for line in written.raw)  # without the timestamp
    assert all(line == event for line in records)


@given(st.lists(st.tuples(texts, scalars), max_size=20))
def test_a_value_is_never_remembered_for_another_one(pairs):
    """What is kept from earlier lines never changes a later one: a fresh logger writes the same."""
    log, written = new_log()
    log.clock = lambda: 1.0
    for name, value in pairs:
        log.emit("info", "a.b", fields={name: value})
        fresh, alone = new_log()
        fresh.clock = lambda: 1.0
        fresh.emit("info", "a.b", fields={name: value})
        assert written.raw[-1] == alone.raw[-1]


@given(fields, fields, st.floats(0.0, 1e6))
def test_a_prepared_event_is_the_line_that_it_would_be(bound, known, seconds):
    """An event of which all but a number is encoded once says the same as one that is encoded each time."""
    log, written = new_log()
    log.clock = lambda: 1.0
    known = {name: value for name, value in known.items() if name != "took"}
    write = log.prepared("info", "a.b", known, "took")
    token = context.bind(**bound)
    try:
        for _ in range(3):  # the bound fields are remembered after the first
            write(seconds)
            log.emit("info", "a.b", fields={**known, "took": round(seconds, 6)})
    finally:
        context.unbind(token)
    lines = list(map(orjson.loads, written.raw))
    for prepared, emitted in zip(lines[::2], lines[1::2], strict=True):
        assert prepared == emitted
