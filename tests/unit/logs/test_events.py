from __future__ import annotations

import asyncio
import dataclasses
import enum
import logging
import math
import threading
import uuid
from collections import OrderedDict, deque
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from botmetry import context
from botmetry.context import SpanContext
from botmetry.logs.events import RESERVED
from botmetry.settings import LEVELS

SPAN = SpanContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


def test_a_line_has_the_keys_of_the_contract_in_a_fixed_order(log, written, bound):
    """The keys come in one order: what every line has, then the context, then the fields."""
    bound(user_id=7, command="balance")
    token = context.enter_span(SPAN)
    log.info("order.paid", band="small", amount=12.5)
    context.leave_span(token)
    expected = (
        b'{"timestamp":"2026-11-22T12:00:00.125Z","level":"info","event":"order.paid","message":"order.paid",'
        b'"logger":"botmetry","service":"shop-bot","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",'
        b'"span_id":"00f067aa0ba902b7","user_id":7,"command":"balance","band":"small","amount":12.5}\n'
    )
    assert written.raw == [expected]


def test_trace_and_span_are_null_outside_any_span(log, written):
    """Every line has `trace_id` and `span_id`, so that nobody has to ask whether they are there."""
    log.info("bot.started")
    assert written.last["trace_id"] is None
    assert written.last["span_id"] is None
    assert written.raw[0].endswith(b'"trace_id":null,"span_id":null}\n')


@pytest.mark.parametrize(
    "moment",
    [
        0.0,
        0.9994,
        0.9999999,
        1.0,
        59.9996,
        1_795_348_799.9999998,
        1_795_348_800.0,
        1_795_348_800.0009,
        4e9 + 0.5,
    ],
)
def test_timestamps_are_right_on_both_sides_of_a_second(moment, make_log, written):
    """A timestamp is the moment cut to milliseconds, whichever second was written before."""
    moments = iter([moment, moment + 1, moment, moment - 1 if moment > 1 else moment])
    log = make_log(clock=lambda: next(moments))
    expected = [moment, moment + 1, moment, moment - 1 if moment > 1 else moment]
    for _ in expected:
        log.info("a.b")
    for line, at in zip(written.lines, expected, strict=True):
        cut = datetime.fromtimestamp(math.floor(at), UTC).replace(microsecond=int((at % 1) * 1000) * 1000)
        assert line["timestamp"] == cut.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_threads_never_see_one_seconds_text_with_another_ones_number(make_log, written):
    """Threads that cross a second at the same moment all write it right."""
    moments = {}

    def clock() -> float:
        return moments[threading.get_ident()]

    log = make_log(clock=clock)

    def write(start: int) -> None:
        for offset in range(500):
            moments[threading.get_ident()] = start + offset / 2
            log.info("a.b", at=start + offset / 2)

    threads = [threading.Thread(target=write, args=(1_000_000 * (n + 1),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written.raw) == 2000
    for line in written.lines:
        assert datetime.fromisoformat(line["timestamp"]).timestamp() == line["at"]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_only_levels_from_the_least_one_on_are_written_and_counted(level, make_log, written, counted):
    """Below the level of the settings nothing is made, written or counted."""
    names = ["debug", "info", "warning", "error", "critical"]
    log = make_log(level=level)
    log.debug("a.b")
    log.info("a.b")
    log.warning("a.b")
    log.error("a.b")
    log.critical("a.b")
    kept = names[names.index(level) :]
    assert [line["level"] for line in written.lines] == kept
    assert counted == kept
    assert [log.enabled(name) for name in names] == [name in kept for name in names]


def test_an_unknown_level_is_information(log, written):
    """A level that does not exist is no reason to raise, or to lose the event."""
    log.emit("loud", "a.b", fields={})
    assert log.enabled("loud")
    assert written.last["level"] == "info"


def test_an_event_that_is_no_name_is_written_as_text(log, written, errors):
    """Whoever passes data where the name belongs finds it in the line."""
    log.info({"a": 1})
    log.info(ValueError("x"), message=5)
    assert [line["event"] for line in written.lines] == ["{'a': 1}", "ValueError: x"]
    assert written.last["message"] == "5"
    assert errors == []


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("12.50"), "12.50"),
        (datetime(2026, 11, 22, 12, 0, tzinfo=timezone(timedelta(hours=1))), "2026-11-22T12:00:00+01:00"),
        (date(2026, 11, 22), "2026-11-22"),
        (timedelta(seconds=90), "0:01:30"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (b"caf\xc3\xa9 \xff", "café \\xff"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (2**64, "18446744073709551616"),
        (Path("/tmp/x"), "/tmp/x"),
        (Colour.RED, "red"),
        (ValueError("no"), "ValueError: no"),
        (Broken(), "<Broken without text: RuntimeError>"),
        ("\ud800x", "\\ud800x"),
        ({"a"}, ["a"]),
        ((1, Decimal(2)), [1, "2"]),
        (deque([1]), [1]),
        (OrderedDict(a=1), {"a": 1}),
        ({1: "a", "1": "b", None: "c", (1, 2): "d"}, {"1": "a", "1_": "b", "None": "c", "(1, 2)": "d"}),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Point, "<class 'test_events.Point'>"),
        (None, None),
        (True, True),
        (2**63, 2**63),
        (-(2**63), -(2**63)),
        ("line\nbreak\u2028", "line\nbreak\u2028"),
    ],
)
def test_what_json_does_not_know_becomes_a_faithful_text(value, text, log, written, errors):
    """Any Python value is written: as JSON where JSON has it, as text where not."""
    log.info("a.b", value=value)
    assert written.raw[0].count(b"\n") == 1
    if isinstance(value, type):
        text = str(value)
    assert written.last["value"] == text
    assert errors == []


def test_an_integer_of_any_length_is_written(log, written):
    """An integer that is longer than Python turns into decimal digits is written in hexadecimal ones."""
    log.info("a.b", value=10**5000)
    assert written.last["value"] == hex(10**5000)


def test_a_container_that_holds_itself_is_cut(log, written, errors):
    """Cycles, deep nesting and small structures that are huge when written out end somewhere."""
    cycle: dict[str, object] = {}
    cycle["me"] = [cycle]
    deep: object = "bottom"
    wide: object = 1
    for _ in range(500):
        deep = [deep]
    for _ in range(40):
        wide = [wide, wide]
    log.info("a.b", cycle=cycle, deep=deep, wide=wide)
    assert written.last["cycle"] == {"me": ["<cycle>"]}
    assert len(written.raw[0]) < 200_000
    assert errors == []


def test_a_container_that_another_thread_changes_is_no_error(log, written):
    """A value that cannot be walked is named instead; the rest of the line stays."""

    class Changing(dict):
        def items(self):
            raise RuntimeError("dictionary changed size during iteration")

    log.info("a.b", value=Changing(a=1), other=1)
    assert written.last["value"] == "<Changing not readable: RuntimeError>"
    assert written.last["other"] == 1


def test_a_field_never_overwrites_a_key_of_the_line(log, written, bound):
    """A field or context that is called like a key of the line is written as `field_<name>`."""
    bound(level="bound", trace_id="bound")
    fields = {name: "mine" for name in RESERVED if name != "message"}
    log.info("a.b", **fields, self="mine", fields="mine")
    line = written.last
    assert line["event"] == "a.b"
    assert line["level"] == "info"
    assert line["trace_id"] is None
    assert line["service"] == "shop-bot"
    assert {line[f"field_{name}"] for name in fields} == {"mine"}
    assert line["self"] == "mine"


def test_a_field_wins_over_the_bound_one_of_the_same_name(log, written, bound):
    """What is said of one event wins over its context, and stands in the line once."""
    bound(user_id=1, command="balance")
    log.info("a.b", user_id=2)
    log.info("a.c")
    assert [line["user_id"] for line in written.lines] == [2, 1]
    assert written.raw[0].count(b'"user_id"') == 1
    assert written.lines[0]["command"] == "balance"


def test_bound_values_are_written_as_they_are_at_the_moment(log, written, bound):
    """A mutable value in the context is looked at for each line; a new context is never taken for the old one."""
    basket = ["apple"]
    bound(basket=basket)
    log.info("a.b")
    basket.append("pear")
    log.info("a.b")
    bound(basket=[])
    log.info("a.b")
    assert [line["basket"] for line in written.lines] == [["apple"], ["apple", "pear"], []]


async def test_tasks_keep_their_contexts_apart(log, written):
    """Lines of tasks that run at the same time carry the context of their own task."""

    async def work(user_id: int) -> None:
        with context.scope(user_id=user_id):
            for _ in range(5):
                log.info("a.b", expected=user_id)
                await asyncio.sleep(0)

    await asyncio.gather(*(work(user_id) for user_id in range(20)))
    assert len(written.raw) == 100
    assert all(line["user_id"] == line["expected"] for line in written.lines)


def test_exceptions_are_one_field_with_the_traceback(log, written):
    """`exc_info` may be an exception, True or `sys.exc_info()`; the traceback stays on the line."""
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        log.emit("error", "a.b", exc_info=error, fields={})
        log.error("a.b", exc_info=True)  # noqa: G201 - not the stdlib's
        log.error("a.b", exc_info=(type(error), error, error.__traceback__))  # noqa: TRY400 - as above
    for line in written.lines:
        assert line["exception"].startswith("Traceback (most recent call last):")
        assert line["exception"].endswith("ValueError: two\nlines")
    assert all(raw.count(b"\n") == 1 for raw in written.raw)
    for nothing in (True, False, None, (None, None, None)):
        log.error("a.b", exc_info=nothing)
        assert "exception" not in written.last


def test_the_exception_being_handled_is_told_without_naming_it(make_log, log, written, counted, errors):
    """`exception` is what everyone types in an `except` block: an error, and counted as one."""
    try:
        raise ValueError("no stock")
    except ValueError:
        log.exception("order.lost", band="small")
        log.exception("order.lost", exc_info=False)  # noqa: LOG007 - not the stdlib's
        make_log(level="critical").exception("order.lost")
    log.exception("order.lost")  # noqa: LOG004 - as above
    told, *untold = written.lines
    assert (told["level"], told["band"]) == ("error", "small")
    assert told["exception"].startswith("Traceback (most recent call last):")
    assert told["exception"].endswith("ValueError: no stock")
    assert ["exception" in line for line in untold] == [False, False]
    assert (counted, errors) == (["error"] * 3, [])


def test_a_message_replaces_the_events_name(log, written):
    """`message` is the sentence for people, with the name of the event beside it."""
    log.warning("redis.lost", message="Redis does not answer", place="queue")
    assert written.last["message"] == "Redis does not answer"
    assert written.last["event"] == "redis.lost"
    assert written.last["place"] == "queue"


def test_event_names_that_hold_data_do_not_fill_the_memory(log, written):
    """What is remembered of event names is bounded, and right however many there are."""
    for number in range(3000):
        log.emit("info", f"user.{number}", fields={})
    assert [line["event"] for line in written.lines] == [f"user.{number}" for number in range(3000)]
    assert len(log._heads["info"]) <= 1024
    assert len(log._around) <= 1024


def test_a_failure_inside_is_reported_and_not_raised(log, written, errors):
    """A log method never raises: what goes wrong is handed to `on_error`."""

    class Full:
        enabled = True

        def write(self, line: bytes) -> None:
            raise MemoryError

    log.sink = Full()
    log.info("a.b")
    log.emit("error", "a.b", fields={"a": 1})
    log.log_redis_operation("get", 0.1, outcome="error")
    assert [(component, type(error)) for component, error in errors] == [("logs", MemoryError)] * 3


def test_a_failing_failure_report_is_not_raised_either(make_log, log):
    """Nothing is raised even when the one who counts failures fails."""

    def fail(*_: object) -> None:
        raise RuntimeError("counting is broken")

    log.count = dict.fromkeys(LEVELS, fail)
    log._on_error = fail
    log.info("a.b")


def test_user_ids_are_hashed_with_the_key(make_log, written):
    """With a key the same user has the same hash, in context, fields and texts; without the key nobody can tell."""
    first, other = make_log(user_id_key="k"), make_log(user_id_key="l")
    first.info("a.b", user_id=7)
    first.info("a.b", user_id="7", chat_id=7, nested={"user_id": 7}, message="update of user_id=7 came")
    other.info("a.b", user_id=7)
    one, two, foreign = written.lines
    assert len(one["user_id"]) == 16
    assert int(one["user_id"], 16) >= 0
    assert one["user_id"] == two["user_id"] == two["chat_id"] == two["nested"]["user_id"]
    assert two["message"] == f"update of user_id={one['user_id']} came"
    assert foreign["user_id"] != one["user_id"]


def test_user_ids_stay_without_a_key(log, written):
    """Hashing is asked for, not assumed."""
    log.info("a.b", user_id=7, message="user_id=7")
    assert written.last["user_id"] == 7
    assert written.last["message"] == "user_id=7"


def test_the_line_about_lost_lines_is_one_of_ours(log, written):
    """Where lines are missing the log says so, and how many."""
    line = orjson.loads(written.notice(12))
    assert line["event"] == "logs.lines_dropped"
    assert line["level"] == "warning"
    assert line["lines"] == 12
    assert line["message"] == "12 log lines are missing here: the output did not take them"


FAMILY_EVENTS = [
    (("log_bot_request", "balance", "ok", 0.1), "info", "bot.request_handled"),
    (("log_bot_request", "balance", "cancelled", 0.1), "info", "bot.request_handled"),
    (("log_bot_request", "balance", "timeout", 0.1), "warning", "bot.request_handled"),
    (("log_bot_request", "balance", "error", 0.1), "error", "bot.request_handled"),
    (("log_ai_categorization", "Food", 0.9, "fuzzy"), "info", "ai.categorized"),
    (("log_ai_correction", "Food", "Fun"), "info", "ai.corrected"),
    (("log_transaction_sync", "csv", 3), "info", "transactions.synced"),
    (("log_queue_task", "ai", "categorize_transaction", "error"), "error", "queue.task_finished"),
    (("log_db_query", "select", "transactions", 0.1), "debug", "db.query_executed"),
    (("log_redis_operation", "get", 0.1), "debug", "redis.operation_executed"),
]


@pytest.mark.parametrize(("call", "level", "event"), FAMILY_EVENTS)
def test_convenience_methods_write_their_event(call, level, event, log, written):
    """Each convenience method writes one event of constant name, its arguments and what is said besides."""
    method, *arguments = call
    getattr(log, method)(*arguments, task_id="t1")
    line = written.last
    assert (line["level"], line["event"], line["task_id"]) == (level, event, "t1")
    assert [value for name, value in line.items() if name not in RESERVED][:-1] == arguments


def test_failed_queries_are_errors(log, written):
    """A query or operation that failed is not hidden at level debug."""
    log.log_db_query("select", "transactions", 0.1, outcome="error")
    log.log_redis_operation("get", 0.1, outcome="timeout")
    assert [line["level"] for line in written.lines] == ["error", "warning"]


def test_nothing_is_encoded_for_an_output_that_is_none(log, written, counted):
    """With the output `none` records are counted and nothing more."""
    written.enabled = False
    log.info("a.b", value=Broken())
    logging.getLogger("other").info("x")
    assert written.raw == []
    assert counted == ["info"]
