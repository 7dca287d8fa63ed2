"""Looks at sagas, from any process: it needs their name, and none of their steps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, TypeAlias, cast

import msgspec

from botmetry import LogSettings, Telemetry
from botmetry.telemetry.saga import SagaCensus
from midas.redis import Availability, Sender, connect
from midas.saga.calls import Calls
from midas.saga.config import SagaConfig
from midas.saga.context import unpack_any
from midas.saga.errors import InvalidContext, SagaUnknown, UnreadableSaga
from midas.saga.keys import NAMES, check_id
from midas.saga.records import SagaRecord, SagaView, parse_transition
from midas.saga.states import ENDED, SagaState
from midas.saga.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType

    from redis.asyncio import Redis

    from midas.saga.calls import Clock
    from midas.saga.store import Sending

Views: TypeAlias = list[SagaView]
Lines: TypeAlias = list[bytes]


class SagaObserver:
    """Lists, shows and counts the sagas of one name. Use it as an async context manager.

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
            UnreadableSaga: Its record was written by a newer program, or damaged.
            QueueUnavailable: Redis did not answer within two seconds.
        """
        return await self._view(saga_id, self.config.history_limit)

    async def list(self, state: SagaState | str | None = None, limit: int = 100) -> Views:
        """List sagas, the latest change first, without their histories; one that cannot be read with its id and state.

        Args:
            state: In which state; None for all.
            limit: How many at most.

        Raises:
            QueueUnavailable: Redis did not answer within two seconds.
        """
        states = list(SagaState) if state is None else [SagaState(state)]
        found = await self._store.ask(self._calls.list(states, limit))
        moved = [
            (float(flat[i + 1]), flat[i].decode(), which)
            for which, flat in zip(states, found, strict=True)
            for i in range(0, len(flat), 2)
        ]
        latest = sorted(moved, reverse=True)[:limit]
        views = await asyncio.gather(*(self._entry(*entry) for entry in latest), return_exceptions=True)
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

    async def _entry(self, moved_ms: float, saga_id: str, state: SagaState) -> SagaView:
        try:
            return await self._view(saga_id, 0)
        except UnreadableSaga as error:
            return SagaView.unreadable(saga_id, self.config.name, state, moved_ms / 1000, error.reason)

    async def _view(self, saga_id: str, lines: int) -> SagaView:
        record, history = await self._look(saga_id, lines)
        try:
            context, transitions = unpack_any(record.context), tuple(map(parse_transition, history))
        except (InvalidContext, ValueError, msgspec.MsgspecError) as error:
            raise UnreadableSaga(saga_id, str(error)) from error
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
            context=context,
            steps={name: record.step(name) for name in record.order},
            not_undone=tuple(name for name in record.order if record.step(name).is_not_undone),
            history=transitions,
        )


async def saga_names(redis: Redis) -> list[str]:
    """List the names of all sagas that ever ran on this Redis."""
    found = await cast("Awaitable[set[bytes]]", redis.smembers(NAMES))
    return sorted(name.decode() for name in found)
