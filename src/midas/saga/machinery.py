"""What all sagas that one process runs share, and how one of them is run from its claim to its end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from midas.errors import QueueUnavailable
from midas.saga.backward import Backward
from midas.saga.calls import milliseconds
from midas.saga.errors import OwnershipLost, UnreadableContext
from midas.saga.forward import Forward
from midas.saga.ownership import Halt
from midas.saga.states import SagaState

if TYPE_CHECKING:
    from botmetry import Telemetry
    from midas.saga.config import SagaConfig
    from midas.saga.context import ContextCodec
    from midas.saga.definition import Definition
    from midas.saga.ownership import Ownership
    from midas.saga.records import SagaRecord

_OUTCOMES: Final = {
    SagaState.COMPLETED: "completed",
    SagaState.FAILED: "aborted",
    SagaState.ABORTED: "aborted",
    SagaState.COMPENSATION_FAILED: "failed",
}
"""The metric's words: everything done, all of it undone, or neither."""


@dataclass(frozen=True, slots=True)
class Machinery:
    """What runs share.

    Attributes:
        config: The settings.
        definitions: The steps by release.
        codecs: Packs contexts, by release.
        telemetry: Where runs are counted and logged.
        randomness: Draws the pauses.
    """

    config: SagaConfig
    definitions: Mapping[str, Definition]
    codecs: Mapping[str, ContextCodec]
    telemetry: Telemetry
    randomness: random.Random = field(default_factory=random.Random)

    @property
    def name(self) -> str:
        """The saga's name."""
        return self.config.name

    def definition_of(self, ownership: Ownership) -> Definition:
        """Give the steps that a saga was begun with."""
        return self.definitions[ownership.record.release]

    def codec_of(self, ownership: Ownership) -> ContextCodec:
        """Give what packs the contexts of sagas of this one's release."""
        return self.codecs[ownership.record.release]

    def pause_ms(self, failures: int) -> int:
        """Draw a pause before the next attempt: from 0 up to a bound that doubles with each failure, to its cap."""
        longest = min(self.config.longest_pause, self.config.first_pause * 2.0 ** min(failures - 1, 60))
        return milliseconds(self.randomness.uniform(0, longest))

    async def run(self, ownership: Ownership) -> SagaRecord:
        """Run a saga until it ends, waits, stands still, is left or is lost; give what was written of it last.

        Its trace and log context go on.

        Raises:
            CancelledError: This task was cancelled; the saga is left to others.
        """
        record = ownership.record
        telemetry = self.telemetry
        with telemetry.continue_from(record.carrier), telemetry.context(saga_id=record.id):
            try:
                await self._drive(ownership)
            except OwnershipLost:
                ownership.lose()
            except asyncio.CancelledError:
                await ownership.release()
                raise
            except QueueUnavailable:
                telemetry.log.warning("saga.left_unsaved", saga=self.name, epoch=record.epoch)
            except Exception as error:
                # Our own mistake: the lease lapses, and after some more such owners the saga is suspended.
                telemetry.log.error("saga.run_failed", saga=self.name, exc_info=error)  # noqa: TRY400 -- ours
            finally:
                self._conclude(ownership)
        return record

    async def _drive(self, ownership: Ownership) -> None:
        with suppress(Halt):
            try:
                self.codec_of(ownership).unpack(
                    ownership.record.context
                )  # before anything is written or done
                if not ownership.is_turned_back:
                    await self._forward(ownership)
                if ownership.is_turned_back:
                    await Backward(ownership, self).run()
            except UnreadableContext as error:
                await ownership.suspend(str(error))
        if ownership.record.state in {SagaState.RUNNING, SagaState.COMPENSATING} and not ownership.lost:
            await ownership.release()

    async def _forward(self, ownership: Ownership) -> None:
        try:
            await Forward(ownership, self).run()
        except Halt:
            if ownership.aborting and not (ownership.lost or ownership.leaving or ownership.is_turned_back):
                await ownership.turn_back(SagaState.ABORTED, ownership.record.abort)

    def _conclude(self, ownership: Ownership) -> None:
        record, telemetry = ownership.record, self.telemetry
        outcome = _OUTCOMES.get(record.state)  # as of the last checkpoint that was taken
        if outcome is not None:
            telemetry.saga.finished(self.name, outcome)
        elif ownership.lost:
            telemetry.saga.lost(self.name)
            telemetry.log.warning("saga.ownership_lost", saga=self.name, epoch=record.epoch)
        else:
            telemetry.saga.left(self.name)
        if outcome == "failed":
            steps = [name for name, step in record.steps.items() if step.is_not_undone]
            telemetry.log.error("saga.compensation_failed", saga=self.name, steps=steps, message=record.error)
        elif record.state is SagaState.SUSPENDED:
            telemetry.log.error("saga.suspended", saga=self.name, message=record.error)
