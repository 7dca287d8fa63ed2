from __future__ import annotations

import copy
import logging
import logging.handlers
import pickle
import queue
import tracemalloc
import warnings
from functools import partial

import orjson
import pytest

from botmetry import context
from botmetry.context import SpanContext
from botmetry.logs.events import EventLogger
from botmetry.logs.stdlib import RecordFormatter, RecordHandler, install, level_of
from botmetry.settings import LEVELS, LogSettings


@pytest.fixture
def root():
    """A logger that stands for the root, so that the test runner's own handlers stay out."""
    return logging.Logger("root-of-the-test", logging.WARNING)  # noqa: LOG001 - below nobody's root


@pytest.fixture
def installed(log, root):
    undo = install(log, root)
    yield root
    undo()


def test_a_record_is_a_line_like_an_event(installed, written, bound, counted):
    """A record has the same keys as an event, with its own logger, its context and its extras."""
    bound(user_id=7)
    token = context.enter_span(SpanContext("a" * 32, "b" * 16))
    installed.info("order %s of %d", "paid", 3, extra={"band": "small", "amount": 12.5})
    context.leave_span(token)
    line = written.last
    assert list(line) == [
        *("timestamp", "level", "event", "message", "logger", "service", "trace_id", "span_id"),
        *("user_id", "band", "amount"),
    ]
    assert line["level"] == "info"
    assert line["event"] == "log.recorded"
    assert line["message"] == "order paid of 3"
    assert line["logger"] == "root-of-the-test"
    assert line["service"] == "shop-bot"
    assert line["trace_id"] == "a" * 32
    assert (line["band"], line["amount"]) == ("small", 12.5)
    assert counted == ["info"]


def test_a_record_keeps_the_moment_it_was_made(log, written):
    """The timestamp is the record's, not that of its writing."""
    record = logging.makeLogRecord({"msg": "x", "created": 1_795_348_800.5})
    RecordHandler(log).emit(record)
    assert written.last["timestamp"] == "2026-11-22T12:00:00.500Z"


def test_a_record_may_bring_its_event(installed, written):
    """The extra `event` names the event."""
    installed.warning("Redis is away", extra={"event": "redis.lost"})
    assert written.last["event"] == "redis.lost"
    assert written.last["message"] == "Redis is away"
    assert written.raw[0].count(b'"event"') == 1


def test_what_is_said_again_is_written_with_its_own_level_event_and_logger(log, written):
    """Words that were written before are not confused, and a secret in them is removed each time."""
    handler = RecordHandler(log)
    for _ in range(2):
        for name, level, extra in (
            ("a", 20, {}),
            ("b", 20, {}),
            ("b", 40, {}),
            ("b", 40, {"event": "db.lost"}),
        ):
            record = logging.makeLogRecord(
                {"msg": "password=hunter2 refused", "name": name, "levelno": level}
            )
            record.__dict__.update(extra)
            handler.handle(record)
    said = [(line["logger"], line["level"], line["event"]) for line in written.lines]
    assert said == 2 * [
        *(("a", "info", "log.recorded"), ("b", "info", "log.recorded")),
        *(("b", "error", "log.recorded"), ("b", "error", "db.lost")),
    ]
    assert not any(b"hunter2" in line for line in written.raw)


def test_messages_that_are_remembered_take_little_memory(log, written):
    """Neither many different messages nor long ones pile up: a program may write data into them."""
    handler = RecordHandler(log)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(300):
            handler.handle(logging.makeLogRecord({"msg": f"{number}", "levelno": 20}))
            handler.handle(logging.makeLogRecord({"msg": f"{number} " + "word " * 2_000, "levelno": 20}))
            written.raw.clear()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


@pytest.mark.parametrize(
    ("level", "numbers"),
    [
        ("debug", (-3, 0, 5, 10, 15)),
        ("info", (20, 25)),
        ("warning", (30, 35)),
        ("error", (40, 49)),
        ("critical", (50, 1000)),
    ],
)
def test_levels_of_others_become_one_of_ours(level, numbers, log, written):
    """Any level number is written as the nearest of our five below it."""
    for number in numbers:
        record = logging.makeLogRecord({"msg": "x", "levelno": number})
        RecordHandler(log).handle(record)
        assert written.last["level"] == level
        assert level_of(record) == level


def test_a_record_without_a_level_is_information(log, written):
    """A record that was put together by hand is written, too."""
    RecordHandler(log).handle(logging.makeLogRecord({"msg": "x"}))
    assert written.last["level"] == "info"


def test_records_below_the_level_cost_nothing(make_log, root, written, counted):
    """The logger's level is set to that of the settings, so that libraries do not even make the record."""
    undo = install(make_log(level="error"), root)
    root.warning("x")
    assert not root.isEnabledFor(logging.WARNING)
    undo()
    assert written.raw == []
    assert counted == []


def test_secrets_in_records_are_removed(installed, written):
    """Message, arguments, extras and exceptions of other libraries pass the same redaction."""
    token = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawx"
    try:
        raise ConnectionError(f"POST https://api.telegram.org/bot{token}/getMe")
    except ConnectionError:
        installed.exception("calling %s", f"bot{token}", extra={"api_token": "x y z", "url": f"u/{token}"})
    assert token.encode() not in written.raw[0]
    assert b"x y z" not in written.raw[0]
    assert "ConnectionError" in written.last["exception"]
    assert written.last["message"] == "calling bot123456789:[redacted]"


def test_a_broken_record_is_written_all_the_same(installed, written, errors):
    """Arguments that do not fit, objects without text, cyclic extras: nothing is raised, nothing is lost."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    cycle: list[object] = []
    cycle.append(cycle)
    installed.info("%d items", "three")
    installed.info(Broken())
    installed.info("%s", Broken(), extra={"cycle": cycle, "broken": Broken()})
    installed.info({"a": 1, 2: "b"})
    installed.info("100%")
    installed.info(ValueError("as a message"))
    messages = [line["message"] for line in written.lines]
    assert messages[0] == "%d items ('three',)"
    assert messages[1] == "<Broken without text: RuntimeError> ()"
    assert messages[2] == "%s <tuple without text: RuntimeError>"
    assert messages[3] == "log.recorded"
    assert (written.lines[3]["a"], written.lines[3]["2"]) == (1, "b")
    assert messages[4] == "100%"
    assert messages[5] == "as a message"
    assert errors == []


def test_a_failure_inside_does_not_reach_the_library(installed, written, errors):
    """Whoever logs through the stdlib never sees an error of ours."""

    def fail(_: bytes) -> None:
        raise OSError("broken")

    written.write = fail
    installed.info("x")
    assert [type(error) for _, error in errors] == [OSError]


def test_exceptions_and_stacks_are_fields(installed, written):
    """`exception` holds the traceback, `stack` what `stack_info` asked for; an empty `exc_info` adds nothing."""
    try:
        raise ValueError("no")
    except ValueError:
        installed.info("x", exc_info=True, stack_info=True)
    installed.info("x", exc_info=True)
    first, second = written.lines
    assert first["exception"].endswith("ValueError: no")
    assert first["stack"].startswith("Stack (most recent call last):")
    assert "exception" not in second
    assert all(raw.count(b"\n") == 1 for raw in written.raw)


def test_records_that_passed_through_a_queue_keep_their_data(log, written):
    """A record that was prepared, pickled and unpickled has its traceback and its extras."""
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    logger = logging.Logger("queued")  # noqa: LOG001 - as above
    logger.addHandler(logging.handlers.QueueHandler(records))
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("failed %s", "here", extra={"band": "small"})
    RecordHandler(log).handle(pickle.loads(pickle.dumps(records.get())))
    assert written.last["band"] == "small"
    assert written.last["message"].startswith("failed here")
    assert "ValueError: no" in str(written.last)


def test_marks_of_other_handlers_are_not_fields(log, written):
    """What other formatters leave on a record (message, asctime, exc_text) is not mistaken for data."""
    record = logging.makeLogRecord({"msg": "x %s", "args": ("y",), "created": 1.0})
    logging.Formatter("%(asctime)s %(message)s").format(record)
    record.band = "small"
    RecordHandler(log).handle(record)
    assert written.last["band"] == "small"
    assert "asctime" not in written.last
    assert "args" not in written.last


def test_marks_are_no_fields_where_events_have_fields_of_that_name(log, written):
    """That an event's field was called like an attribute of records does not make the attribute a field."""
    log.info("train.left", asctime="noon", taskName="shunting")
    record = logging.makeLogRecord({"msg": "x", "levelno": 20})
    record.__dict__ |= {"asctime": "noon", "taskName": "shunting"}
    for _ in range(2):
        RecordHandler(log).handle(record)
        assert not {"asctime", "taskName"} & set(written.last)


def test_a_secret_among_extras_is_removed_each_time(log, written):
    """Extras whose names and values were plain before do not let a secret through that follows under these names."""
    handler = RecordHandler(log)
    for value in ("small", "small", "sk-abcdefghijklmnopqrst", 4111111111111111, "small"):
        record = logging.makeLogRecord({"msg": "x", "levelno": 20})
        record.__dict__.update(band=value)
        handler.handle(record)
    said = [line["band"] for line in written.lines]
    assert said == ["small", "small", "sk-[redacted]", "[redacted]", "small"]


def test_records_of_another_class_are_understood(log, written):
    """A record class that sets attributes before its base, or formats with braces, loses nothing."""

    class Braces(logging.LogRecord):
        def __init__(self, *args: object, **kwargs: object) -> None:
            self.early = "bird"
            super().__init__(*args, **kwargs)

        def getMessage(self) -> str:  # noqa: N802
            return str(self.msg).format(*self.args)

    handler = RecordHandler(log)
    handler.handle(Braces("b", 20, "", 0, "{} items", (3,), None))
    handler.handle(Braces("b", 20, "", 0, "plain", None, None))
    shallow = copy.copy(logging.makeLogRecord({"msg": "short"}))
    del shallow.__dict__["process"], shallow.__dict__["thread"]
    shallow.band = "small"
    handler.handle(shallow)
    assert [line["message"] for line in written.lines[:1]] == ["3 items"]
    assert written.lines[0]["early"] == "bird"
    assert written.lines[-1]["band"] == "small"


def test_filters_of_the_handler_count(log, written):
    """A filter on the handler keeps records back, and may replace them."""
    handler = RecordHandler(log)
    handler.addFilter(lambda record: record.msg != "secret")
    handler.handle(logging.makeLogRecord({"msg": "secret"}))
    handler.handle(logging.makeLogRecord({"msg": "open"}))
    assert [line["message"] for line in written.lines] == ["open"]


def test_warnings_come_out_as_records(log, root, written, monkeypatch):
    """Python's warnings are records of the logger py.warnings while installed, and as before afterwards."""
    monkeypatch.setattr(logging.getLogger("py.warnings"), "parent", root)
    before = warnings.showwarning
    undo = install(log, root)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        showwarning = warnings.showwarning
        warnings.showwarning = showwarning
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    undo()
    assert written.last["logger"] == "py.warnings"
    assert "DeprecationWarning: old thing" in written.last["message"]
    assert warnings.showwarning is before


def test_undo_restores_everything_and_may_be_repeated(log, root):
    """After `undo` handlers and level are what they were; a level that somebody set meanwhile stays."""
    undo = install(log, root)
    assert root.level == logging.DEBUG
    undo()
    undo()
    assert (root.handlers, root.level) == ([], logging.WARNING)
    undo = install(log, root)
    root.setLevel(logging.ERROR)
    undo()
    assert root.level == logging.ERROR


def test_the_formatter_serves_handlers_of_the_users(log, root, written, tmp_path):
    """`RecordFormatter` gives any stdlib handler the same lines."""
    handler = logging.FileHandler(tmp_path / "own.jsonl")
    handler.setFormatter(RecordFormatter(log))
    root.addHandler(handler)
    root.error("two\nlines", extra={"password": "x"})
    handler.close()
    lines = (tmp_path / "own.jsonl").read_bytes().splitlines()
    assert len(lines) == 1
    line = orjson.loads(lines[0])
    assert (line["message"], line["password"]) == ("two\nlines", "[redacted]")
    assert written.raw == []


def test_an_event_logger_without_output_counts_records(errors, counted, root):
    """With the output `none` the records of libraries are counted, and not made into lines."""

    class Nothing:
        enabled = False

        def announce_drops(self, notice: object) -> None:
            """Take note of nothing."""

    log = EventLogger(
        "x",
        settings=LogSettings(),
        sink=Nothing(),
        on_error=lambda *e: errors.append(e),
        count={level: partial(counted.append, level) for level in LEVELS},
    )
    undo = install(log, root)
    root.error("x")
    undo()
    assert (counted, errors) == (["error"], [])
