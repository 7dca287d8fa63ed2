"""One process's ownership of one saga, from the claim until it ends, is left or is lost.

The owner writes checkpoints under its epoch and the saga's revision. The first one that is refused ends it: somebody
else owns the saga, and this process must do no more.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from midas.saga.calls import Change, Held
from midas.saga.errors import OwnershipLost
from midas.saga.states import SagaState, StepState

if TYPE_CHECKING:
    from midas.redis import Argument
    from midas.saga.records import SagaRecord, StepRecord
    from midas.saga.store import Store


class Halt(Exception):  # noqa: N818 -- no error: it unwinds what is being done, and the flags say why
    """What is being done must stop: see ``Ownership.lost``, ``leaving``, ``aborting`` and ``is_turned_back``."""


class Ownership:
    """A saga in the hands of this process.

    Attributes:
        record: The saga as of the last checkpoint.
        lost: Somebody else owns it.
        leaving: This process stops, or stops working on it: others shall go on.
        aborting: Somebody wants it to be undone.
    """

    def __init__(self, store: Store, record: SagaRecord) -> None:
        self.record = record
        self.held = Held(record.id, record.release, record.epoch, record.owner)
        self.lost = False
        self.leaving = False
        self.aborting = bool(record.abort) and not record.goal
        self._store = store
        self._lock = asyncio.Lock()
        self._deferred: Change | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def is_turned_back(self) -> bool:
        """Whether the saga goes backward."""
        return bool(self.record.goal)

    @property
    def must_halt_forward(self) -> bool:
        """Whether a step must stop."""
        return self.lost or self.leaving or self.aborting or self.is_turned_back

    @property
    def must_halt_backward(self) -> bool:
        """Whether no further compensation may begin."""
        return self.lost or self.leaving

    def lose(self) -> None:
        """Take note that somebody else owns it."""
        self.lost = True
        self.wake()

    def leave(self) -> None:
        """Tell it to be left to others."""
        self.leaving = True
        self.wake()

    def abort(self) -> None:
        """Tell it to be undone."""
        if not self.is_turned_back:
            self.aborting = True
            self.wake()

    def wake(self) -> None:
        """Let whoever waits look at the flags."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def rest(self, seconds: float, *others: asyncio.Future[Any]) -> None:
        """Wait until the time is over, one of the others is done, or a flag may have changed."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait({waiter, *others}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiters.discard(waiter)

    async def rest_until(self, due: int, halt: Callable[[], bool]) -> None:
        """Wait until a moment, ms, by the server's clock as it goes now.

        Raises:
            Halt: It must stop before.
        """
        end = time.monotonic() + (due - self._store.now_ms()) / 1000
        while (left := end - time.monotonic()) > 0 and not halt():
            await self.rest(left)
        if halt():
            raise Halt

    def now_ms(self) -> int:
        """Milliseconds since 1970 by the server's clock."""
        return self._store.now_ms()

    def defer(self, change: Change) -> None:
        """Write this together with the next checkpoint, which has to come at once: one call instead of two."""
        self._deferred = change if self._deferred is None else change.after(self._deferred)
        self._apply(change)

    async def flush(self) -> None:
        """Write what was deferred, since there is nothing else to write for a while.

        Raises:
            OwnershipLost: The saga is somebody else's; nothing was written.
            QueueUnavailable: Redis is away, and this process is leaving.
        """
        if self._deferred is not None:
            await self.write(Change())

    async def write(self, change: Change | Callable[[], Change]) -> None:
        """Write a checkpoint, with what was deferred: all of it, or nothing.

        Args:
            change: What to write; or what gives it when it is this one's turn, if it depends on what others wrote.

        Raises:
            OwnershipLost: The saga is somebody else's; nothing was written.
            Halt: The change was guarded, and an abort was asked for, or a step beside this one has failed; it was not
                written, only what was deferred.
            QueueUnavailable: Redis is away, and this process is leaving.
        """
        async with self._lock:
            change = change() if callable(change) else change
            if change.guarded and self.is_turned_back:
                raise Halt
            if not await self._send(change):
                if self._deferred is not None:
                    await self._send(Change())
                raise Halt
            self._apply(change)

    async def confirm(self) -> None:
        """Wait until as much of Redis as the settings say has what was written.

        Raises:
            NotDurable: It did not come to that in time.
            QueueUnavailable: Redis is away, and this process is leaving.
        """
        await self._store.confirm(self.held, lambda: self.leaving or self.lost)

    async def _send(self, change: Change) -> bool:
        """Send a change; say whether it was written, or else an abort goes first."""
        if self.lost:
            raise OwnershipLost(self.record.id, self.record.epoch)
        change = change if self._deferred is None else change.after(self._deferred)
        token = secrets.token_hex(8)
        record = self.record
        call = self._store.calls.checkpoint(self.held, record.revision, token, change, record.steps)
        verdict, now, abort = await self._store.insist(call, lambda: self.leaving or self.lost)
        self._store.heard(now)
        if verdict == b"lost":
            self.lose()
            raise OwnershipLost(record.id, record.epoch)
        if abort:
            record.abort = abort.decode()
            self.abort()
        if verdict == b"abort":
            return False
        record.revision += 1
        self._deferred = None
        return True

    async def turn_back(
        self, goal: SagaState, error: str, step: tuple[str, StepRecord] | None = None
    ) -> None:
        """Go backward from now on: what was begun has an unknown outcome, and everything is to be undone.

        Raises:
            OwnershipLost: The saga is somebody else's.
        """

        def change() -> Change:
            steps = self.unknown_steps() | ({} if step is None else dict([step]))
            if self.is_turned_back:  # for what failed first
                return Change(steps=steps)
            fields: dict[str, Argument] = {"goal": goal, "error": error}
            return Change(steps=steps, fields=fields, state=SagaState.COMPENSATING)

        await self.write(change)
        self.wake()

    async def suspend(self, error: str) -> None:
        """Stand still wherever it is: this process can do nothing with it, and that is no word of any step.

        Raises:
            OwnershipLost: The saga is somebody else's.
        """
        before = self.record.error if self.is_turned_back else ""  # why it turned back is not to be forgotten
        why = f"{before}; {error}" if before and error not in before else before or error
        await self.write(Change(steps=self.unknown_steps(), fields={"error": why}, state=SagaState.SUSPENDED))
        self.wake()

    async def release(self) -> None:
        """Let others go on at once. A lost connection only makes them wait for the end of the lease."""
        self.leaving = True
        with suppress(OwnershipLost, OSError):
            await self.write(Change(steps=self.unknown_steps(), leave_until=self._store.now_ms()))

    def unknown_steps(self) -> dict[str, StepRecord]:
        """Give the records of steps whose action was begun and not seen to end; a wait has a due time, and is none."""
        return {
            name: msgspec.structs.replace(record, state=StepState.UNKNOWN, doubtful=True)
            for name, record in self.record.steps.items()
            if record.state is StepState.EXECUTING and record.due == 0
        }

    def _apply(self, change: Change) -> None:
        record = self.record
        record.steps.update(change.steps)
        for name, value in change.fields.items():
            if name in {"goal", "error"}:
                setattr(record, name, str(value))
            elif name == "pivoted":
                record.pivoted = value == 1
            elif name == "context" and isinstance(value, bytes):
                record.context = value
        if record.goal == SagaState.ABORTED:
            record.error = record.error or record.abort  # as the script has it
        if change.state is not None:
            record.state = change.state
