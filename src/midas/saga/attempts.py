"""One attempt of an action or a compensation: called, timed, told to stop, and what came of it."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from botmetry.threads import run_in_thread
from midas.saga.current import CURRENT, StepRun
from midas.saga.errors import InvalidContext, Terminal

if TYPE_CHECKING:
    from midas.saga.context import ContextCodec
    from midas.saga.definition import Action, SagaStep
    from midas.saga.ownership import Ownership

_ANOTHER_PUSH_SECONDS: Final = 0.05
"""A cancellation may be swallowed (see ``midas.redis.cancellation``), so it is repeated."""


class Verdict(Enum):
    """What an exception says about the effect of an action.

    FAILED: it had none, and may have one the next time. TERMINAL: it had none, and never will. DOUBTFUL: nobody knows.
    STOPPED: nobody knows, and no further attempt is wanted: the action was cancelled from within.
    """

    FAILED = "failed"
    TERMINAL = "terminal"
    DOUBTFUL = "doubtful"
    STOPPED = "stopped"


class ActionCancelled(asyncio.CancelledError):
    """An action that nobody had told to stop was cancelled from within."""


class ActionHalted(asyncio.CancelledError):
    """An action was told to stop, and did."""


@dataclass(frozen=True, slots=True)
class Produced:
    """What an attempt that went well left behind.

    Attributes:
        given: The context that it got, packed.
        left: The object that it got, as it left it.
        returned: What it returned.
    """

    given: bytes
    left: Any
    returned: Any

    def merged_into(self, context: bytes, codec: ContextCodec) -> bytes:
        """Give the context with all of it.

        Raises:
            InvalidContext: It cannot be kept.
        """
        return codec.merge(context, self.given, self.left, self.returned)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one function is to be called.

    Attributes:
        function: The action or the compensation.
        run: Which attempt it is.
        timeout: Seconds that it may take.
        grace: Seconds that it has to end once it is told to stop.
        halt: Whether it must stop.
    """

    function: Action
    run: StepRun
    timeout: float
    grace: float
    halt: Callable[[], bool]

    async def make(self, ownership: Ownership, codec: ContextCodec) -> Produced:
        """Call the function with a copy of the context.

        Raises:
            TimeoutError: It took too long.
            ActionHalted: It was told to stop, and has ended.
            ActionCancelled: It was cancelled by something else.
            Exception: What it raised.
        """
        given = ownership.record.context
        context = codec.unpack(given)
        returned = await self._call(ownership, context)
        return Produced(given, context, returned)

    async def _call(self, ownership: Ownership, context: Any) -> Any:
        task = asyncio.create_task(_call(self.function, context, self.run), name=self.run.idempotency_key)
        deadline = time.monotonic() + self.timeout
        try:
            while not task.done() and not self.halt() and (left := deadline - time.monotonic()) > 0:
                await ownership.rest(left, task)
        finally:
            await _stop(task, self.grace)
        if task.done() and not task.cancelled():
            return task.result()
        if self.halt():
            raise ActionHalted
        if time.monotonic() < deadline:
            raise ActionCancelled
        raise TimeoutError(f"it took longer than {self.timeout:g} s")


def judge(error: BaseException, step: SagaStep) -> Verdict:
    """Say what an exception means.

    A lost connection and a timeout say nothing about what the other side did; all else is the action's own word that
    it failed. A context that cannot be kept comes after the effect.
    """
    if isinstance(error, (Terminal, *step.terminal)):
        return Verdict.TERMINAL
    if isinstance(error, ActionCancelled | InvalidContext):
        return Verdict.STOPPED
    return Verdict.DOUBTFUL if isinstance(error, TimeoutError | ConnectionError) else Verdict.FAILED


async def _call(function: Action, context: Any, run: StepRun) -> Any:
    CURRENT.set(run)  # this task's own context
    if _is_async(function):
        return await function(context)
    try:
        # Not one of a pool's: nobody can stop a plain function, and each that hangs would be a thread fewer for others.
        returned = await run_in_thread(function, context)
    except RuntimeError as error:
        if isinstance(error.__cause__, asyncio.CancelledError):
            raise error.__cause__ from None  # it was cancelled from within, as an async one would have been
        raise
    return await returned if inspect.isawaitable(returned) else returned


def _is_async(function: Action) -> bool:
    called = type(function).__call__ if callable(function) else None
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


async def _stop(task: asyncio.Task[Any], grace: float) -> None:
    """Cancel a task that has not ended, and wait for its end, so that it has no effect after that."""
    deadline = time.monotonic() + grace
    while not task.done() and time.monotonic() < deadline:
        task.cancel()
        await asyncio.wait({task}, timeout=_ANOTHER_PUSH_SECONDS)
