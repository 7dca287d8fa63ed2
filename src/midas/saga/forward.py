"""Runs a saga's steps, each after its intent was written, until it is done, turns back, waits or stands still."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from midas.saga.attempts import ActionCancelled, ActionHalted, Attempt, Produced, Verdict, judge
from midas.saga.calls import Change, milliseconds
from midas.saga.context import unpack_any
from midas.saga.current import StepRun
from midas.saga.definition import LONGEST_WAIT_SECONDS, Parallel, SagaStep, StepKind, Wait
from midas.saga.errors import InvalidContext, UnreadableContext
from midas.saga.ownership import Halt
from midas.saga.records import StepRecord, reason_of
from midas.saga.states import SagaState, StepState

if TYPE_CHECKING:
    from midas.redis import Argument
    from midas.saga.machinery import Machinery
    from midas.saga.ownership import Ownership

LONGEST_HOLD_SECONDS: Final = 5.0
"""A pause longer than this lets go of the saga, so that no process needs to live for it."""
replace = msgspec.structs.replace


class Forward:
    """Takes one saga forward.

    Args:
        ownership: The saga.
        machinery: What all runs share.
    """

    def __init__(self, ownership: Ownership, machinery: Machinery) -> None:
        self._own = ownership
        self._shared = machinery

    async def run(self) -> None:
        """Run what is left to do.

        Raises:
            Halt: The saga goes backward now, or is left, waits, stands still, or was lost.
            OwnershipLost: It is somebody else's.
            UnreadableContext: Its context is of another type.
        """
        for unit in self._shared.definition_of(self._own).units:
            await self._check()
            if isinstance(unit, Parallel):
                await self._together(unit)
            elif isinstance(unit, Wait):
                await self._wait(unit)
            elif isinstance(unit, SagaStep):
                await self._do(unit, alone=True)
        await self._own.write(Change(state=SagaState.COMPLETED, guarded=True))

    async def _together(self, group: Parallel) -> None:
        branches = [asyncio.create_task(self._branch(step)) for step in group.steps]
        outcomes = await asyncio.gather(*branches, return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if errors:
            raise min(errors, key=lambda error: isinstance(error, Halt))

    async def _branch(self, step: SagaStep) -> None:
        try:
            await self._do(step, alone=False)
        except BaseException as error:
            if not isinstance(error, Halt):
                self._own.leave()  # this one could write no checkpoint, so the others must stop, too
            raise

    async def _do(self, step: SagaStep, *, alone: bool) -> None:
        while (record := self._own.record.step(step.name)).state is not StepState.COMPLETED:
            await self._pause(record, alone=alone)
            await self._check()
            record = await self._intend(step, record)
            try:
                produced = await self._attempt(step, record.attempts)
            except ActionHalted:
                raise Halt from None
            except UnreadableContext:
                raise  # before it was called
            except (Exception, ActionCancelled) as error:  # noqa: BLE001 -- what an action raises is its outcome
                await self._failed(step, error)
            else:
                await self._done(step, produced, alone=alone)

    async def _intend(self, step: SagaStep, record: StepRecord) -> StepRecord:
        """Write that the step is about to be tried; after the pivot's there is no way back."""
        doubtful = record.doubtful or record.state in {StepState.EXECUTING, StepState.UNKNOWN}
        intent = replace(
            record, state=StepState.EXECUTING, attempts=record.attempts + 1, doubtful=doubtful, due=0
        )
        fields: dict[str, Argument] = {"pivoted": 1} if step.kind is StepKind.PIVOT else {}
        await self._own.write(Change(steps={step.name: intent}, fields=fields, guarded=True))
        return intent

    async def _attempt(self, step: SagaStep, attempt: int) -> Produced:
        own, shared = self._own, self._shared
        run = StepRun(shared.name, own.record.id, step.name, "action", attempt, own.record.epoch)
        call = Attempt(
            step.action,
            run,
            self._seconds_for(step),
            shared.config.grace_seconds,
            lambda: own.must_halt_forward,
        )
        with shared.telemetry.saga.step(shared.name, step.name) as operation:
            operation.set(attempt=attempt)
            if step.kind is StepKind.PIVOT:
                await own.confirm()
            return await call.make(own, shared.codec_of(own))

    async def _done(self, step: SagaStep, produced: Produced, *, alone: bool) -> None:
        own = self._own
        refused: list[InvalidContext] = []

        def change() -> Change:
            record = own.record.step(step.name)
            try:
                context = produced.merged_into(own.record.context, self._shared.codec_of(own))
            except InvalidContext as error:
                if error.rest is None:
                    raise
                # It had its effect, and what it says of it beside what is contested is for its compensation.
                refused.append(error)
                unsure = replace(record, state=StepState.UNKNOWN, doubtful=True)
                return Change(steps={step.name: unsure}, fields={"context": error.rest})
            done = replace(record, state=StepState.COMPLETED, error="", due=0)
            return Change(steps={step.name: done}, fields={"context": context, "recoveries": 0})

        try:
            if alone:
                own.defer(change())  # the next step's intent, or the saga's end, comes at once
            else:
                await own.write(change)
        except InvalidContext as error:
            refused.append(error)
        if refused:
            await self._failed(step, refused[0])

    async def _failed(self, step: SagaStep, error: BaseException) -> None:
        """Try again later, or give up.

        Raises:
            Halt: It is given up.
        """
        own = self._own
        verdict = judge(error, step)
        record = own.record.step(step.name)
        doubtful = record.doubtful or verdict in {Verdict.DOUBTFUL, Verdict.STOPPED}
        record = replace(
            record,
            state=StepState.UNKNOWN if doubtful else StepState.PENDING,
            failures=record.failures + 1,
            doubtful=doubtful,
            error=reason_of(error),
        )
        may_pass = verdict in {Verdict.FAILED, Verdict.DOUBTFUL}
        if may_pass and record.failures <= step.most_failures and not self._is_late():
            due = own.now_ms() + self._shared.pause_ms(record.failures)
            await own.write(Change(steps={step.name: replace(record, due=due)}))
            return
        await self._give_up(step, record, answered=verdict is Verdict.TERMINAL)

    async def _give_up(self, step: SagaStep, record: StepRecord, *, answered: bool) -> None:
        if not record.doubtful or step.compensation is None:
            record = replace(record, state=StepState.FAILED)
        error = f"{step.name}: {record.error}"
        stuck = step.kind is StepKind.PIVOT and record.doubtful and not answered
        if step.kind is StepKind.RETRIABLE or stuck:
            await self._stand_still(step.name, record, error)
        else:
            await self._own.turn_back(SagaState.FAILED, error, (step.name, record))
        raise Halt

    async def _stand_still(self, name: str, record: StepRecord, error: str) -> None:
        await self._own.write(
            Change(steps={name: record}, fields={"error": error}, state=SagaState.SUSPENDED)
        )
        self._own.wake()

    async def _pause(self, record: StepRecord, *, alone: bool) -> None:
        own = self._own
        if alone and record.due - own.now_ms() > milliseconds(LONGEST_HOLD_SECONDS):
            await own.write(Change(state=SagaState.WAITING, leave_until=self._until(record.due)))
            raise Halt
        if record.due > own.now_ms():
            await own.flush()
        await own.rest_until(record.due, lambda: own.must_halt_forward)

    async def _wait(self, wait: Wait) -> None:
        own = self._own
        record = own.record.step(wait.name)
        if record.state is StepState.COMPLETED:
            return
        begins = record.state is StepState.PENDING
        if begins:
            record = replace(record, state=StepState.EXECUTING, due=await self._due_of(wait))
        brought = None if wait.signal is None else own.record.signals.get(wait.signal)
        # What came while this owner worked is seen by the next one only, so even a wait of no time is begun.
        if brought is None and (own.now_ms() < record.due or (begins and wait.signal is not None)):
            until = self._until(record.due)
            change = Change(steps={wait.name: record}, state=SagaState.WAITING, leave_until=until)
            await own.write(dataclasses.replace(change, awaits=wait.signal or ""))
            raise Halt
        if brought is None and wait.signal is not None and wait.required:
            await self._fail_wait(wait, record, f"no signal {wait.signal} came in time")
        await self._waited(wait, record, brought)

    async def _due_of(self, wait: Wait) -> int:
        """Say when a wait that begins now is over, ms."""
        own = self._own
        try:
            seconds = (
                wait.seconds(self._shared.codec_of(own).unpack(own.record.context))
                if callable(wait.seconds)
                else wait.seconds
            )
            if not seconds <= LONGEST_WAIT_SECONDS:  # nor a NaN
                raise ValueError(f"nobody waits for {seconds!r} seconds")  # noqa: TRY301 -- as the function might
            return own.now_ms() + milliseconds(max(0.0, seconds))
        except UnreadableContext:
            raise
        except Exception as error:  # noqa: BLE001 -- the user's function is as fallible as an action
            await self._fail_wait(wait, StepRecord(), reason_of(error))

    async def _fail_wait(self, wait: Wait, record: StepRecord, error: str) -> NoReturn:
        record = replace(record, state=StepState.FAILED, error=error, due=0)
        if self._own.record.pivoted:
            await self._stand_still(wait.name, record, f"{wait.name}: {error}")
        else:
            await self._own.turn_back(SagaState.FAILED, f"{wait.name}: {error}", (wait.name, record))
        raise Halt

    async def _waited(self, wait: Wait, record: StepRecord, brought: bytes | None) -> None:
        own, codec = self._own, self._shared.codec_of(self._own)
        context = own.record.context
        if brought is not None:
            try:
                context = codec.merge(context, context, codec.unpack(context), unpack_any(brought))
            except InvalidContext as error:
                await self._fail_wait(wait, record, str(error))
        done = replace(record, state=StepState.COMPLETED, due=0)
        await own.write(Change(steps={wait.name: done}, fields={"context": context, "recoveries": 0}))

    async def _check(self) -> None:
        """Go on only if nothing says otherwise.

        Raises:
            Halt: Something does.
        """
        if self._is_late():
            await self._own.turn_back(SagaState.FAILED, "its deadline is over")
        if self._own.must_halt_forward:
            raise Halt

    def _is_late(self) -> bool:
        record = self._own.record
        return not record.pivoted and 0 < record.deadline <= self._own.now_ms()

    def _until(self, due: int) -> int:
        record = self._own.record
        return due if record.pivoted or record.deadline == 0 else min(due, record.deadline)

    def _seconds_for(self, step: SagaStep) -> float:
        """Seconds that an attempt may take. The deadline cuts no pivot short: not to know its outcome is worse."""
        record = self._own.record
        if record.deadline == 0 or record.pivoted or step.kind is not StepKind.COMPENSATABLE:
            return step.timeout
        return min(step.timeout, max(0.0, (record.deadline - self._own.now_ms()) / 1000))
