"""Functions that block, run beside the event loop in threads of their own."""

import asyncio
import os
import subprocess
import sys
import threading
from contextvars import ContextVar

import pytest

from botmetry.threads import run_in_thread

WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


async def test_the_result_comes_from_a_daemon_thread_of_its_own():
    """A function gets its arguments, runs in another thread that keeps no process alive, and its result comes back."""

    def divide(number, by, *, places):
        return round(number / by, places), threading.current_thread()

    result, thread = await run_in_thread(divide, 2, 3, places=2)
    assert result == 0.67
    assert thread is not threading.current_thread()
    assert thread.daemon


async def test_context_variables_go_along():
    """The function sees the caller's context variables, and what it sets stays in its thread."""

    def look():
        seen = WHOSE.get()
        WHOSE.set("the thread's")
        return seen

    WHOSE.set("the caller's")
    assert await run_in_thread(look) == "the caller's"
    assert WHOSE.get() == "the caller's"


async def test_an_error_is_the_callers():
    """What the function raises is raised where it is awaited, as it is."""

    def fail():
        raise KeyError("no such card")

    with pytest.raises(KeyError, match="no such card"):
        await run_in_thread(fail)


@pytest.mark.parametrize(
    "error", [StopIteration("over"), SystemExit(3), asyncio.CancelledError(), KeyboardInterrupt()]
)
async def test_what_no_future_may_carry_ends_neither_the_loop_nor_the_caller(error):
    """StopIteration, an exit and a cancellation from within come as an error that names them."""

    def fail():
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__) as caught:
        await run_in_thread(fail)
    assert caught.value.__cause__ is error


async def test_more_hang_than_a_pool_has_threads_and_others_still_run():
    """Functions that hang hold up nobody else, however many they are."""
    free = threading.Event()
    many = (os.cpu_count() or 1) + 40  # the loop's own pool has at most 32
    hanging = [asyncio.create_task(run_in_thread(free.wait, 300)) for _ in range(many)]
    try:
        assert await asyncio.wait_for(run_in_thread(sum, (1, 2)), 60) == 3
        assert not any(task.done() for task in hanging)
    finally:
        free.set()
        await asyncio.gather(*hanging)


async def test_a_cancelled_caller_leaves_the_thread_alone():
    """Who is cancelled stops waiting at once; the function runs to its end, and an error of it disturbs nobody."""
    begun, free, ended = threading.Event(), threading.Event(), threading.Event()
    unhandled = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))

    def work():
        begun.set()
        free.wait(300)
        ended.set()
        raise ValueError("nobody hears it")

    task = asyncio.create_task(run_in_thread(work))
    assert await run_in_thread(begun.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ended.is_set()
    free.set()
    assert await run_in_thread(ended.wait, 60)
    assert await run_in_thread(lambda: "and on") == "and on"
    assert unhandled == []


def test_a_thread_that_hangs_keeps_no_program_alive():
    """A program whose function hangs ends when its main coroutine does, although the thread never will."""
    program = """
import asyncio, threading
from botmetry.threads import run_in_thread

async def main():
    task = asyncio.create_task(run_in_thread(threading.Event().wait))
    await asyncio.sleep(0)
    task.cancel()

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
