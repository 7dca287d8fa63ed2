"""Looks at sagas and decides about them, from any process: it needs their name, and none of their steps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

import msgspec

from botmetry import LogSettings, Telemetry
from botmetry.telemetry.saga import SagaCensus
from midas.redis import Availability, Sender, connect
from midas.saga.calls import Calls, Change, Held
from midas.saga.config import SagaConfig
from midas.saga.context import ContextCodec, unpack_any
from midas.saga.errors import NotPossible, SagaUnknown
from midas.saga.keys import NAMES, check_id
from midas.saga.records import SagaRecord, SagaView, StepRecord, parse_transition
from midas.saga.states import ENDED, SagaState, StepState
from midas.saga.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from types import TracebackType

    from redis.asyncio import Redis

    from midas.redis import Argument
    from midas.saga.calls import Clock
    from midas.saga.store import Sending

Views: TypeAlias = list[SagaView]
Lines: TypeAlias = list[bytes]
replace = msgspec.structs.replace


class SagaOversight:
    """Lists and shows the sagas of one name, and passes on what people decide. Use it as an async context manager.

    Args:
        config: Of which the address, the name and the times are used.
        telemetry: Where decisions are logged, and where each scrape shows the ``census`` until this is closed; None for
            nowhere.
        clock: For tests: the time in seconds since 1970. None takes the Redis server's.
        availability: Another client's of the same Redis, so that an outage is reported once; None for an own one.
        sender: For tests: what sends the calls of scripts instead of a client of our own.
    """

    def __init__(
        self,
        config: SagaConfig | None = None,
        *,
        telemetry: Telemetry | None = None,
        clock: Clock | None = None,
        availability: Availability | None = None,
        sender: Sending | None = None,
    ) -> None:
        self.config = config or SagaConfig()
        self._telemetry = telemetry or Telemetry(service="saga", log=LogSettings(output="none"))
        self._calls = Calls(self.config, clock)
        self._likely_release = ""
        self._client: Redis = connect(self.config.redis_url)
        self._availability = availability or Availability(self._client, self._telemetry)
        self._store = Store(
            sender or Sender(self._client, self._availability), self._availability, self._calls, clock
        )
        self._unwatch = self._telemetry.saga.watch(self.config.name, self.census)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        self._unwatch()
        await self._client.aclose()

    async def show(self, saga_id: str) -> SagaView:
        """Show a saga with its history.

        Raises:
            SagaUnknown: There is none.
            QueueUnavailable: Redis did not answer within two seconds.
        """
        return await self._view(saga_id, self.config.history_limit)

    async def list(self, state: SagaState | str | None = None, limit: int = 100) -> Views:
        """List sagas, the latest change first, without their histories.

        Args:
            state: In which state; None for all.
            limit: How many at most.

        Raises:
            QueueUnavailable: Redis did not answer within two seconds.
        """
        states = list(SagaState) if state is None else [SagaState(state)]
        found = await self._store.ask(self._calls.list(states, limit))
        moved = [(float(flat[i + 1]), flat[i].decode()) for flat in found for i in range(0, len(flat), 2)]
        ids = [saga_id for _, saga_id in sorted(moved, reverse=True)[:limit]]
        views = await asyncio.gather(*(self._view(saga_id, 0) for saga_id in ids), return_exceptions=True)
        for view in views:
            if isinstance(view, BaseException) and not isinstance(view, SagaUnknown):
                raise view
        return [view for view in views if isinstance(view, SagaView)]  # some may be gone by now

    async def statistics(self) -> dict[str, int]:
        """Count over all processes, dead ones too, what happened to sagas of this name.

        ``started``, ``recovered`` (an owner had died), ``refused`` (checkpoints of one that was none any more),
        ``parked`` (too many owners died); how often each state was entered, as ``COMPLETED``; how many are in it now,
        as ``in:COMPLETED``.

        Raises:
            QueueUnavailable: Redis did not answer within two seconds.
        """
        flat, sizes = await self._store.ask(self._calls.measure())
        counts = {"started": 0, "recovered": 0, "refused": 0, "parked": 0} | dict.fromkeys(
            map(str, SagaState), 0
        )
        counts.update((flat[i].decode(), int(flat[i + 1])) for i in range(0, len(flat), 2))
        return counts | {f"in:{state}": size for state, size in zip(SagaState, sizes, strict=True)}

    async def census(self) -> SagaCensus:
        """Count the sagas of this name that are not over, and find the one that has waited longest for an owner.

        Raises:
            QueueUnavailable: Redis did not answer within two seconds.
        """
        (_, sizes), overdue = await asyncio.gather(self._store.ask(self._calls.measure()), self._overdue())
        counts = {
            state.lower(): size for state, size in zip(SagaState, sizes, strict=True) if state not in ENDED
        }
        return SagaCensus(**counts, overdue_seconds=overdue)

    async def abort(self, saga_id: str, reason: str = "", *, force: bool = False) -> None:
        """Have a saga undone: whoever owns it stops what it does, and turns back. Comes back before it is undone.

        Args:
            saga_id: Which saga; asking twice is no error.
            reason: Why, for people who look.
            force: For a saga that was suspended because nobody knows whether its pivot happened: you know that it did
                not.

        Raises:
            SagaUnknown: There is none.
            NotPossible: It has ended, or is past its pivot.
            QueueUnavailable: Redis did not answer within two seconds; may be repeated.
        """
        record = await self._read(saga_id)
        call = self._calls.abort(saga_id, record.release, reason or "aborted", forced=force)
        verdict = (await self._store.ask(call)).decode()
        if verdict == "gone":
            raise SagaUnknown(self.config.name, saga_id)
        if verdict == "ended":
            raise NotPossible(saga_id, (await self._read(saga_id)).state, "it has ended")
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

    async def _overdue(self) -> float:
        """Seconds that the most overdue saga has waited, of whichever release: nobody here may know its steps."""
        known = (await self._store.ask(self._calls.due([], 0)))[2]
        releases = [release.decode() for release in known]
        firsts = (await self._store.ask(self._calls.due(releases, 1)))[3] if releases else []
        found = await asyncio.gather(
            *(
                self._store.ask(self._calls.look(ids[0].decode(), release, lines=0))
                for release, ids in zip(releases, firsts, strict=True)
                if ids
            )
        )
        # One that found an owner in between is due in the future again, or not at all.
        late: list[float] = [now - float(due) for now, due, *_ in found if due]
        return max([0.0, *late]) / 1000

    async def _read(self, saga_id: str) -> SagaRecord:
        return (await self._look(saga_id, 0))[0]

    async def _look(self, saga_id: str, lines: int) -> tuple[SagaRecord, Lines]:
        while True:  # at most twice: a saga's release, which names one of the keys, never changes
            release = self._likely_release
            call = self._calls.look(check_id(saga_id), release, lines=lines)
            now, due, flat, history = await self._store.ask(call)
            self._store.heard(now)
            if not flat:
                raise SagaUnknown(self.config.name, saga_id)
            record = SagaRecord.parse(saga_id, flat, due or None)
            if record.release == release:
                return record, history
            self._likely_release = record.release

    async def _view(self, saga_id: str, lines: int) -> SagaView:
        record, history = await self._look(saga_id, lines)
        return SagaView(
            saga_id=saga_id,
            name=self.config.name,
            release=record.release,
            state=record.state,
            epoch=record.epoch,
            owner=record.owner,
            created_at=record.created / 1000,
            due_at=None if record.due is None else record.due / 1000,
            recoveries=record.recoveries,
            error=record.error,
            abort=record.abort,
            context=unpack_any(record.context),
            steps={name: record.step(name) for name in record.order},
            not_undone=tuple(name for name in record.order if record.step(name).is_not_undone),
            history=tuple(map(parse_transition, history)),
        )

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


async def saga_names(redis: Redis) -> list[str]:
    """List the names of all sagas that ever ran on this Redis."""
    found = await cast("Awaitable[set[bytes]]", redis.smembers(NAMES))
    return sorted(name.decode() for name in found)


def _fresh(step: StepRecord, *, undoing: bool) -> StepRecord:
    if undoing:
        return replace(step, state=StepState.COMPENSATING, undo_failures=0, undo_error="", due=0)
    if step.state is StepState.EXECUTING and step.due:
        return step  # a wait goes on
    begun = step.doubtful or step.state in {StepState.EXECUTING, StepState.UNKNOWN}
    return replace(step, state=StepState.UNKNOWN if begun else StepState.PENDING, failures=0, due=0)
