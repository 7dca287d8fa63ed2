"""One helper for `def`, `async def` and `with`, which never changes what the host sees."""

from __future__ import annotations

import asyncio
import inspect
import threading
from contextlib import ExitStack
from contextvars import copy_context

import pytest

from botmetry import context
from botmetry.instrument import Description, Instrument, OperationSeries, Reporter
from botmetry.metrics import MetricSpec, Registry
from botmetry.tracing import IdentityTracer

DESCRIBED = Description(
    "bot.request_handled", "bot.command x", "server", {"command": "x"}, bound={"command": "x"}
)


class Log(list):
    """Keeps events with the span and fields that were current."""

    def enabled(self, level):
        return True

    def emit(self, level, event, *, exc_info=None, fields):
        self.append((level, dict(fields), exc_info, context.span(), dict(context.fields())))

    def prepared(self, level, event, fields, number):
        return lambda value: self.emit(level, event, fields={**fields, number: value})


class World:
    def __init__(self, *, logged=True, on_result=None):
        self.failures = []
        registry = Registry(failed=self.failed, overflowed=lambda _: None)
        self.requests = registry.counter(MetricSpec("r_total", "counter", "Requests.", ("outcome",)))
        self.errors = registry.counter(MetricSpec("e_total", "counter", "Errors.", ("error_type",)))
        self.seconds = registry.histogram(MetricSpec("d_seconds", "histogram", "Duration.", (), (0.1, 1.0)))
        self.started = registry.counter(MetricSpec("s_total", "counter", "Started."))
        self.log = Log() if logged else None
        series = OperationSeries(
            lambda _: self.seconds.labels(),
            outcomes=self.requests.labels,
            errors=self.errors.labels,
            started=self.started.labels(),
        )
        reporter = Reporter(self.log, IdentityTracer(), self.failed)
        self.instrument = Instrument(DESCRIBED, series, reporter, on_result)

    def failed(self, component, error):
        self.failures.append((component, error))

    def counted(self):
        outcomes = {key[0]: series.value() for key, series in self.requests.series() if series.value()}
        return outcomes, self.seconds.labels().count(), self.started.labels().value()


@pytest.fixture(params=[True, False], ids=["reported", "counted only"])
def world(request):
    return World(logged=request.param)


ENDINGS = [
    (None, "ok"),
    (ValueError("no"), "error"),
    (TimeoutError(), "timeout"),
    (asyncio.CancelledError(), "cancelled"),
    (KeyboardInterrupt(), "cancelled"),
]


@pytest.mark.parametrize(("error", "outcome"), ENDINGS)
def test_each_ending_of_a_plain_function_is_counted_and_passed_on(world, error, outcome):
    """The result or the very same exception reaches the caller."""

    @world.instrument
    def handler(value: int) -> int:
        """Double."""
        if error is not None:
            raise error
        return value * 2

    if error is None:
        assert handler(21) == 42
    else:
        with pytest.raises(type(error)) as caught:
            handler(21)
        assert caught.value is error
    assert world.counted() == ({outcome: 1}, 1, 1)
    assert (handler.__name__, handler.__doc__, str(inspect.signature(handler))) == (
        "handler",
        "Double.",
        "(value: 'int') -> 'int'",
    )


@pytest.mark.parametrize(("error", "outcome"), ENDINGS[:4])
async def test_each_ending_of_a_coroutine_is_counted_and_passed_on(world, error, outcome):
    """Awaiting the wrapper is awaiting the function."""

    @world.instrument
    async def handler(value: int) -> int:
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return value * 2

    assert inspect.iscoroutinefunction(handler)
    if error is None:
        assert await handler(21) == 42
    else:
        with pytest.raises(type(error)) as caught:
            await handler(21)
        assert caught.value is error
    assert world.counted() == ({outcome: 1}, 1, 1)


@pytest.mark.parametrize(("error", "outcome"), ENDINGS)
def test_each_ending_of_a_block_is_counted_and_passed_on(world, error, outcome):
    """A `with` block ends as its body does."""
    try:
        with world.instrument:
            if error is not None:
                raise error
    except BaseException as caught:
        assert caught is error
    assert world.counted() == ({outcome: 1}, 1, 1)


def test_a_task_that_is_cancelled_counts_as_cancelled(world):
    """Cancelling the real task of a handler is not an error."""

    @world.instrument
    async def handler():
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(handler())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert world.counted() == ({"cancelled": 1}, 1, 1)


def test_a_block_can_say_how_it_went(world):
    """Some failures are no exceptions."""
    with world.instrument as operation:
        operation.outcome = "timeout"
        operation.set(attempt=2)
    assert world.counted() == ({"timeout": 1}, 1, 1)
    if world.log is not None:
        level, fields, *_ = world.log[0]
        assert (level, fields["outcome"], fields["attempt"]) == ("warning", "timeout", 2)


def test_one_helper_serves_nested_and_concurrent_blocks():
    """Its blocks do not mix, in one task or in many, in threads or out."""
    world = World()

    async def visit(number):
        with world.instrument as outer:
            outer.set(number=number)
            await asyncio.sleep(0)
            with world.instrument as inner:
                inner.set(number=-number)
                await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(visit(number) for number in range(1, 51)))

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    asyncio.run(main())
    thread.join()
    assert sorted(fields["number"] for _, fields, *_ in world.log) == sorted(
        sign * number for number in range(1, 51) for sign in (1, -1) for _ in "ab"
    )
    assert world.counted() == ({"ok": 200}, 200, 200)


def test_the_event_belongs_to_the_operations_span_and_the_context_is_put_back():
    """Events inside share the trace; afterwards there is none."""
    world = World()
    with world.instrument:
        outer = context.span()
        assert context.fields() == {"command": "x"}
        with world.instrument:
            inner = context.span()
    assert (context.span(), dict(context.fields())) == (None, {})
    assert inner.trace_id == outer.trace_id
    assert inner.span_id != outer.span_id
    assert [entry[3] for entry in world.log] == [inner, outer]


def test_the_traceback_is_written_by_the_innermost_operation_alone():
    """An error that passes through three operations does not fill the log three times."""
    world = World()
    with pytest.raises(ValueError), world.instrument, world.instrument, world.instrument:  # noqa: PT011
        raise ValueError("no")
    assert [exc_info is not None for _, _, exc_info, *_ in world.log] == [True, False, False]
    assert all(fields["error_type"] == "ValueError" for _, fields, *_ in world.log)


class Overdrawn(Exception):  # noqa: N818
    log_level = "info"


def test_a_users_mistake_is_counted_and_does_not_cry_for_help():
    """An exception whose class has a log_level is an error in the numbers, and one calm line in the log."""
    world = World()
    with pytest.raises(Overdrawn), world.instrument:
        raise Overdrawn("the card holds 3 EUR")
    [(level, fields, exc_info, *_)] = world.log
    assert (level, exc_info) == ("info", None)
    assert (fields["outcome"], fields["error_type"], fields["error"]) == (
        "error",
        "Overdrawn",
        "the card holds 3 EUR",
    )
    assert world.counted()[0] == {"error": 1}


@pytest.mark.parametrize("level", ["error", "loud", 7, None])
def test_an_exception_cannot_make_up_a_level(level):
    """What is no quieter level leaves an error an error, with its traceback."""
    world = World()
    odd = type("Odd", (Exception,), {"log_level": level})
    with pytest.raises(odd), world.instrument:
        raise odd("x")
    assert [(entry[0], entry[2] is not None) for entry in world.log] == [("error", True)]


def test_a_failing_telemetry_never_reaches_the_host():
    """A broken log and a broken hook are reported, and the handler's result arrives."""

    def broken(operation, result):
        raise RuntimeError("hook")

    world = World(on_result=broken)

    @world.instrument
    def handler():
        return 42

    assert handler() == 42
    assert [(component, str(error)) for component, error in world.failures] == [
        ("instrument.on_result", "hook")
    ]
    assert context.span() is None


def test_a_failing_log_leaves_no_context_behind():
    """The span and the fields are put back although the event could not be written."""
    world = World()
    world.log.emit = lambda *_, **__: 1 / 0
    with world.instrument:
        pass
    assert (context.span(), dict(context.fields())) == (None, {})
    assert len(world.failures) == 1
    assert world.counted() == ({"ok": 1}, 1, 1)


def test_a_generator_function_is_refused():
    """Calling one does no work yet, so timing the call would be a lie."""
    world = World()

    async def agen():
        yield 1

    for function in ((lambda: (yield 1)), agen):
        with pytest.raises(TypeError, match="generator function"):
            world.instrument(function)


async def test_an_object_with_an_async_call_is_awaited():
    """Callable objects are told from their `__call__`."""
    world = World(logged=False)

    class Handler:
        __name__ = __qualname__ = "Handler"

        async def __call__(self, value):
            await asyncio.sleep(0)
            return value

    assert await world.instrument(Handler())(5) == 5
    assert world.counted() == ({"ok": 1}, 1, 1)


def _visits(world, number):
    with world.instrument as operation:
        operation.set(number=number)
        yield
        yield


async def _visits_async(world):
    with world.instrument:
        yield


def test_a_block_in_a_generator_ends_what_it_began_whoever_closes_it(world):
    """Generators take turns, and another task or thread may close one: frameworks do so with dependencies."""

    def take_turns():
        first, second = _visits(world, 1), _visits(world, 2)
        for visit in (first, second, first):
            next(visit)
        thread = threading.Thread(target=first.close)
        thread.start()
        thread.join()
        with world.instrument as operation:
            operation.set(number=3)
        second.close()

    async def close_in_another_task():
        visit = _visits_async(world)
        await asyncio.create_task(anext(visit))
        await visit.aclose()

    copy_context().run(take_turns)
    asyncio.run(close_in_another_task())
    assert world.counted() == ({"ok": 1, "cancelled": 3}, 4, 4)
    assert world.failures == []
    if world.log is not None:
        assert [fields.get("number") for _, fields, *_ in world.log] == [1, 3, 2, None]


def test_a_block_of_an_exit_stack_ends_what_the_task_began_last(world):
    """It is entered in one function and left in another, also after a generator's block was closed elsewhere."""

    def enter():
        visit = _visits(world, 1)
        next(visit)
        with ExitStack() as stack:
            stack.enter_context(world.instrument).set(number=2)
            stack.enter_context(world.instrument).set(number=3)
            visit.close()
        world.instrument.__exit__(None, None, None)

    copy_context().run(enter)
    assert world.counted() == ({"ok": 2, "cancelled": 1}, 3, 3)
    assert [component for component, _ in world.failures] == ["instrument.finish"]
    if world.log is not None:
        assert [fields["number"] for _, fields, *_ in world.log] == [1, 3, 2]


def test_methods_of_a_class_are_decorated_above_and_below_their_kind(world):
    """`@staticmethod` and `@classmethod` may stand on either side, and an async method is waited for."""

    class Shop:
        @world.instrument
        @staticmethod
        async def opened():
            await asyncio.sleep(0.01)
            return "static"

        @world.instrument
        @classmethod
        def named(cls):
            return cls

    assert asyncio.run(Shop.opened()) == "static"
    assert Shop.named() is Shop
    assert world.counted() == ({"ok": 2}, 2, 2)
    assert world.seconds.labels().state()[1] >= 0.01


def test_a_class_is_called_and_not_awaited(world):
    """That its objects can be called with `await` says nothing about making one."""

    class Handler:
        async def __call__(self):
            return 1

    assert isinstance(world.instrument(Handler)(), Handler)
