"""Undoes what a saga did, the latest first; a compensation that fails for good does not keep the others back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from midas.saga.attempts import ActionCancelled, ActionHalted, Attempt, Produced, Verdict, judge
from midas.saga.calls import Change, milliseconds
from midas.saga.current import StepRun
from midas.saga.errors import InvalidContext, UnreadableContext
from midas.saga.forward import LONGEST_HOLD_SECONDS
from midas.saga.ownership import Halt
from midas.saga.records import reason_of
from midas.saga.states import TO_UNDO, SagaState, StepState

if TYPE_CHECKING:
    from midas.redis import Argument
    from midas.saga.definition import Action, SagaStep
    from midas.saga.machinery import Machinery
    from midas.saga.ownership import Ownership
    from midas.saga.records import StepRecord

replace = msgspec.structs.replace


class Backward:
    """Takes one saga backward.

    Args:
        ownership: The saga.
        machinery: What all runs share.
    """

    def __init__(self, ownership: Ownership, machinery: Machinery) -> None:
        self._own = ownership
        self._shared = machinery

    async def run(self) -> None:
        """Undo what is left to undo.

        A compensation that has begun is not cut short by an abort or by this process leaving: it ends in its own time.

        Raises:
            Halt: The saga is left, waits or was lost.
            OwnershipLost: It is somebody else's.
            UnreadableContext: Its context is of another type.
        """
        own = self._own
        for step in reversed(self._shared.definition_of(own).steps):
            if step.compensation is not None:
                await self._undo(step, step.compensation)
        failed = any(record.is_not_undone for record in own.record.steps.values())
        await own.write(Change(state=SagaState.COMPENSATION_FAILED if failed else SagaState(own.record.goal)))

    async def _undo(self, step: SagaStep, compensation: Action) -> None:
        own = self._own
        while (record := own.record.step(step.name)).state in TO_UNDO:
            await self._pause(record)
            intent = replace(
                record, state=StepState.COMPENSATING, undo_attempts=record.undo_attempts + 1, due=0
            )
            await own.write(Change(steps={step.name: intent}))
            try:
                produced = await self._attempt(step, compensation, intent.undo_attempts)
            except ActionHalted:
                raise Halt from None
            except UnreadableContext:
                raise  # before it was called
            except (Exception, ActionCancelled) as error:  # noqa: BLE001 -- what it raises is its outcome
                await self._failed(step, error)
            else:
                await self._done(step, produced)

    async def _attempt(self, step: SagaStep, compensation: Action, attempt: int) -> Produced:
        own, shared = self._own, self._shared
        run = StepRun(shared.name, own.record.id, step.name, "compensation", attempt, own.record.epoch)
        call = Attempt(compensation, run, step.timeout, shared.config.grace_seconds, lambda: own.lost)
        with shared.telemetry.saga.compensation(shared.name, step.name) as operation:
            operation.set(attempt=attempt)
            return await call.make(own, shared.codec_of(own))

    async def _done(self, step: SagaStep, produced: Produced) -> None:
        own = self._own
        fields: dict[str, Argument] = {"recoveries": 0}
        try:
            fields["context"] = produced.merged_into(own.record.context, self._shared.codec_of(own))
        except InvalidContext as error:  # it is undone all the same
            self._shared.telemetry.log.warning("saga.context_dropped", step=step.name, message=str(error))
        done = replace(own.record.step(step.name), state=StepState.COMPENSATED, due=0)
        await own.write(Change(steps={step.name: done}, fields=fields))

    async def _failed(self, step: SagaStep, error: BaseException) -> None:
        """Try again later, or give this one up and go on with the others."""
        own, shared = self._own, self._shared
        record = own.record.step(step.name)
        record = replace(record, undo_failures=record.undo_failures + 1)
        final = judge(error, step) is Verdict.TERMINAL
        if final or record.undo_failures > shared.config.compensation_retries:
            record = replace(record, state=StepState.FAILED, undo_error=reason_of(error))
            shared.telemetry.log.error("saga.step_not_undone", step=step.name, exc_info=error)
        else:
            record = replace(record, due=own.now_ms() + shared.pause_ms(record.undo_failures))
        await own.write(Change(steps={step.name: record}))

    async def _pause(self, record: StepRecord) -> None:
        own = self._own
        if own.must_halt_backward:
            raise Halt
        if record.due - own.now_ms() > milliseconds(LONGEST_HOLD_SECONDS):
            await own.write(Change(state=SagaState.WAITING, leave_until=record.due))
            raise Halt
        await own.rest_until(record.due, lambda: own.must_halt_backward)
