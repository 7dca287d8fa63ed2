"""Decides about sagas, from any process: it needs their name, and none of their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from midas.saga.calls import Change, Held
from midas.saga.context import ContextCodec
from midas.saga.errors import NotPossible, SagaUnknown
from midas.saga.observation import SagaObserver
from midas.saga.states import SagaState, StepState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from midas.redis import Argument
    from midas.saga.records import SagaRecord, StepRecord

replace = msgspec.structs.replace


class SagaOversight(SagaObserver):
    """Looks at the sagas of one name, and passes on what people decide; ``SagaObserver`` says what it is made with."""

    async def abort(self, saga_id: str, reason: str = "", *, force: bool = False) -> None:
        """Have a saga undone: whoever owns it stops what it does, and turns back. Comes back before it is undone.

        Args:
            saga_id: Which saga; asking twice is no error.
            reason: Why, for people who look.
            force: For a saga that was suspended because nobody knows whether its pivot happened: you know that it did
                not.

        Raises:
            SagaUnknown: There is none.
            NotPossible: It has ended, is past its pivot, or has turned back already and waits for another decision.
            QueueUnavailable: Redis did not answer within two seconds; may be repeated.
        """
        record = await self._read(saga_id)
        call = self._calls.abort(saga_id, record.release, reason or "aborted", forced=force)
        verdict = (await self._store.ask(call)).decode()
        if verdict == "gone":
            raise SagaUnknown(self.config.name, saga_id)
        if verdict == "ended":
            raise NotPossible(saga_id, (await self._read(saga_id)).state, "it has ended")
        if verdict == "stuck":
            state = (await self._read(saga_id)).state
            raise NotPossible(
                saga_id, state, "it has turned back already and got stuck; resume, skip or resolve it"
            )
        if verdict == "pivoted":
            raise NotPossible(saga_id, record.state, "it is past its pivot, from where there is no way back")
        self._telemetry.log.info("saga.abort_asked", saga=self.config.name, saga_id=saga_id, reason=reason)

    async def signal(self, saga_id: str, signal: str, payload: Mapping[str, Any] | None = None) -> None:
        """Tell a saga what it waits for, or will wait for. The first signal of a name counts.

        Args:
            saga_id: Which saga.
            signal: The name that its ``Wait`` has.
            payload: Is put into the context.

        Raises:
            SagaUnknown: There is none.
            NotPossible: It has ended.
            InvalidContext: The payload cannot be kept.
            QueueUnavailable: Redis did not answer within two seconds; may be repeated.
        """
        record = await self._read(saga_id)
        packed = ContextCodec(None, self.config.context_limit).pack(dict(payload or {}))
        verdict = await self._store.ask(self._calls.signal(saga_id, record.release, signal, packed))
        if verdict == b"gone":
            raise SagaUnknown(self.config.name, saga_id)
        if verdict == b"ended":
            raise NotPossible(saga_id, record.state, f"signal {signal} comes too late")

    async def resume(self, saga_id: str) -> None:
        """Have a saga that stands still try again what failed, with all of its retries.

        Raises:
            SagaUnknown: There is none.
            NotPossible: It does not stand still.
            QueueUnavailable: Redis did not answer within two seconds; may be repeated.
        """
        record = await self._parked(saga_id)
        steps = {
            name: _fresh(step, undoing=bool(record.goal))
            for name, step in record.steps.items()
            if (step.is_not_undone if record.goal else step.state is not StepState.COMPLETED)
        }
        state = SagaState.COMPENSATING if record.goal else SagaState.RUNNING
        fields: dict[str, Argument] = {} if record.goal else {"error": ""}
        await self._mend(record, Change(steps=steps, fields=fields, state=state), "resumed")

    async def skip(self, saga_id: str, step: str) -> None:
        """Have a saga that stands still go on without one step: it stays undone, or counts as done.

        Args:
            saga_id: Which saga.
            step: The step whose compensation was given up, or that the saga stands still at.

        Raises:
            SagaUnknown: There is none.
            NotPossible: It does not stand still, or not because of this step.
            QueueUnavailable: Redis did not answer within two seconds; may be repeated.
        """
        record = await self._parked(saga_id)
        found = record.step(step)
        if record.goal:
            possible, state, skipped = (
                found.is_not_undone,
                SagaState.COMPENSATING,
                replace(found, skipped=True),
            )
        else:
            possible = step in record.steps and found.state is not StepState.COMPLETED
            state, skipped = SagaState.RUNNING, replace(found, state=StepState.COMPLETED, skipped=True, due=0)
        if not possible:
            raise NotPossible(saga_id, record.state, f"it does not stand still because of step {step!r}")
        await self._mend(record, Change(steps={step: skipped}, state=state), f"skipped {step}")

    async def resolve(self, saga_id: str, note: str = "") -> None:
        """End a saga that stands still: a person has put everything right by hand.

        Undone, it is FAILED or ABORTED as it would have been; a saga past its pivot is COMPLETED; one that had not
        turned back is FAILED.

        Raises:
            SagaUnknown: There is none.
            NotPossible: It does not stand still.
            QueueUnavailable: Redis did not answer within two seconds; may be repeated.
        """
        record = await self._parked(saga_id)
        forward = SagaState.COMPLETED if record.pivoted else SagaState.FAILED
        state = SagaState(record.goal) if record.goal else forward
        steps = {
            name: replace(step, skipped=True)
            for name, step in record.steps.items()
            if step.is_not_undone or step.state in {StepState.UNKNOWN, StepState.FAILED}
        }
        fields: dict[str, Argument] = {"error": f"{record.error} (resolved: {note or 'by hand'})"}
        await self._mend(record, Change(steps=steps, fields=fields, state=state), "resolved")

    async def _parked(self, saga_id: str) -> SagaRecord:
        record = await self._read(saga_id)
        if not record.state.needs_a_person:
            raise NotPossible(saga_id, record.state, "it does not stand still, so there is nothing to decide")
        return record

    async def _mend(self, record: SagaRecord, change: Change, what: str) -> None:
        held = Held(record.id, record.release, record.epoch, record.owner)
        if not await self._store.ask(self._calls.mend(held, record.revision, change, record.steps)):
            raise NotPossible(record.id, record.state, "somebody else decided at the same moment; look again")
        self._telemetry.log.info("saga.mended", saga=self.config.name, saga_id=record.id, decision=what)


def _fresh(step: StepRecord, *, undoing: bool) -> StepRecord:
    if undoing:
        return replace(step, state=StepState.COMPENSATING, undo_failures=0, undo_error="", due=0)
    if step.state is StepState.EXECUTING and step.due:
        return step  # a wait goes on
    begun = step.doubtful or step.state in {StepState.EXECUTING, StepState.UNKNOWN}
    return replace(step, state=StepState.UNKNOWN if begun else StepState.PENDING, failures=0, due=0)
