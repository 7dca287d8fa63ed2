"""What may stand for a task type: a function, async or not, of the payload or of the task; or a function of many."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botmetry.threads import run_in_thread
from midas.queue.streams.strays import Strays

if TYPE_CHECKING:
    from midas.queue.streams.task import StreamTask

Handler: TypeAlias = "Callable[..., Any] | Batch"
Bound: TypeAlias = "Callable[[StreamTask], Awaitable[Any]]"

_WHOLE_TASK: Final = "task"


@dataclass(frozen=True, slots=True)
class Batch:
    """Run many tasks of a type in one call, and end each by a verdict of its own.

    Attributes:
        function: Takes a list of ``StreamTask`` and gives, in their order, a result or an exception for each. What it
            raises, all of them get. Async, or plain and then run in a thread. It is cancelled when the last of its
            tasks has ended without it.
        size: Tasks in one call at most.
        linger_seconds: How long the first of a batch waits for others.
    """

    function: Callable[[list[StreamTask]], Any]
    size: int = 100
    linger_seconds: float = 0.05


def bind(handler: Handler, concurrency: int, strays: Strays | None = None) -> Bound:
    """Give what runs one task.

    Args:
        handler: What the user gave.
        concurrency: Tasks at a time.
        strays: Keeps account of what goes on when nobody waits for it any more.

    Raises:
        ValueError: A batch that is larger than the number of tasks at a time would never be full.
        TypeError: The handler is no function.
    """
    kept = Strays() if strays is None else strays
    if isinstance(handler, Batch):
        if not 1 <= handler.size <= concurrency:
            raise ValueError(f"a batch of {handler.size} cannot be had with a concurrency of {concurrency}")
        return _Collector(handler, kept).run
    if not callable(handler):
        raise TypeError(f"a handler is a function, or a Batch of one, and not {handler!r}")
    takes_task = _takes_task(handler)
    if _is_async(handler):
        if takes_task:
            return handler
        return lambda task: handler(task.payload)
    return lambda task: _in_thread(kept, handler, task if takes_task else task.payload)


async def _in_thread(strays: Strays, function: Callable[[Any], Any], argument: Any) -> Any:
    result = await strays.until_cancelled(run_in_thread(function, argument))
    # A plain function around an async one, such as a lambda.
    return await result if inspect.isawaitable(result) else result


def _takes_task(handler: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except ValueError:  # one in C that says nothing of its parameters
        return False
    return bool(parameters) and parameters[0].name == _WHOLE_TASK


def _is_async(handler: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 -- an object with an async __call__
    )


class _Collector:
    """Gathers the tasks of one type, and hands them over when there are enough or the first has waited long enough."""

    def __init__(self, batch: Batch, strays: Strays) -> None:
        self._batch = batch
        self._strays = strays
        self._is_async = _is_async(batch.function)
        self._waiting: list[tuple[StreamTask, asyncio.Future[Any]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self, task: StreamTask) -> Any:
        """Wait for this task's verdict."""
        loop = asyncio.get_running_loop()
        verdict: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((task, verdict))
        if len(self._waiting) >= self._batch.size:
            self._hand_over()
        elif self._timer is None:
            self._timer = loop.call_later(self._batch.linger_seconds, self._hand_over)
        return await verdict

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wanted = [(task, verdict) for task, verdict in self._waiting if not verdict.done()]
        self._waiting = []
        if wanted:
            call = asyncio.create_task(self._call(wanted))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            left = {verdict for _, verdict in wanted}

            def end(verdict: asyncio.Future[Any]) -> None:
                left.discard(verdict)
                if not left and not call.done():
                    # Nobody wants it any more: its tasks timed out or were cancelled, and may run elsewhere.
                    call.cancel()
                    self._strays.add(call)

            for verdict in list(left):
                verdict.add_done_callback(end)

    async def _call(self, wanted: list[tuple[StreamTask, asyncio.Future[Any]]]) -> None:
        tasks = [task for task, _ in wanted]
        try:
            if self._is_async:
                verdicts = await self._batch.function(tasks)
            else:
                verdicts = await _in_thread(self._strays, self._batch.function, tasks)
            _check(verdicts, tasks)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 -- each of the tasks gets it
            verdicts = [error] * len(tasks)
        for (_, future), verdict in zip(wanted, verdicts, strict=True):
            if future.done():
                continue  # it was cancelled or timed out meanwhile
            if isinstance(verdict, StopIteration):
                future.set_exception(RuntimeError(f"the verdict is {verdict!r}"))  # no future takes that one
            elif isinstance(verdict, BaseException):
                future.set_exception(verdict)
            else:
                future.set_result(verdict)


def _check(verdicts: Sequence[Any], tasks: list[StreamTask]) -> None:
    if len(verdicts) != len(tasks):
        raise ValueError(f"the batch function got {len(tasks)} tasks and gave {len(verdicts)} verdicts")
