"""Finds the sagas that need an owner and runs them: what a dead process left, what waited, what a person resumed.

They stand in a set ordered by the moment when they become due, one set a release, so nothing is ever searched for, and
sagas of steps that this process does not have are left to those that do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from midas.errors import QueueUnavailable
from midas.saga.errors import OrchestratorClosed, SagaUnknown, UnreadableSaga
from midas.saga.news import wait_at_most
from midas.saga.runs import SagaRuns

if TYPE_CHECKING:
    from midas.saga.records import SagaRecord

_AT_A_TIME: Final = 50
"""Sagas that one look asks for."""
_LOOKS_PER_SURVEY: Final = 30
"""How seldom the loop says again that sagas of other releases wait in vain."""


class SagaRecovery(SagaRuns):
    """Takes over sagas, once or for as long as the process lives; ``SagaRuns`` says what it is made with."""

    async def recover(self) -> int:
        """Take over the sagas that need an owner, run them until they end, wait or stand still, and give their number.

        Raises:
            OrchestratorClosed: It was closed.
            UnsafeServer: Redis would lose sagas.
            QueueUnavailable: Redis did not answer.
        """
        await self.open()
        await self._tell_of_strangers(await self._known_releases())
        total = 0
        while True:
            unreadable = len(self._unreadable)
            claimed, _ = await self._take_over(self.config.concurrency)
            if claimed:
                total += len(claimed)
                await asyncio.wait(claimed)
            elif len(self._unreadable) <= unreadable:  # else they stood in front of others
                return total

    async def run_recovery(self, stop: asyncio.Event) -> None:
        """Take over sagas that need an owner, until told to stop or closed; while Redis is away, wait for it.

        What runs then goes on until ``aclose``.

        Raises:
            UnsafeServer: Redis would lose sagas.
        """
        looks = 0
        while not (stop.is_set() or self._closed):
            pause = self.config.recovery_pause
            try:
                await self.open()
                if looks % _LOOKS_PER_SURVEY == 0:
                    await self._tell_of_strangers(await self._known_releases())
                looks += 1
                self._news.due.clear()
                free = self.config.concurrency - len(self._taken)
                if free > 0:
                    claimed, next_due = await self._take_over(min(free, _AT_A_TIME))
                    pause = 0.0 if claimed else min(pause, next_due)
            except OrchestratorClosed:
                return
            except QueueUnavailable:
                await self._availability.pause(at_most=pause)
                continue
            # The jitter keeps workers from asking for the same sagas at the same moment.
            await wait_at_most(self._machinery.randomness.uniform(0.5, 1.0) * pause, stop, self._news.due)

    async def _take_over(self, limit: int) -> tuple[Sequence[asyncio.Task[SagaRecord]], float]:
        """Claim what is due; give the runs and the seconds until the next one will be due."""
        releases = list(self._machinery.definitions)
        # Sagas that cannot be read stay due, and in front; they must not keep the others back.
        asked = limit + len(self._unreadable)
        now, next_due, _, found = await self._store.ask(self._calls.due(releases, asked))
        self._store.heard(now)
        ids = [
            (saga_id.decode(), release)
            for release, ids in zip(releases, found, strict=True)
            for saga_id in ids
        ]
        self._unreadable = {
            saga_id: until for saga_id, _ in ids if (until := self._unreadable.get(saga_id)) is not None
        }
        due = [(saga_id, release) for saga_id, release in ids if await self._can_read(saga_id)]
        self._machinery.randomness.shuffle(due)
        claimed = [await self._claim(saga_id, release) for saga_id, release in due[:limit]]
        pause = (float(next_due) - now) / 1000 if next_due else self.config.recovery_pause
        return [run for run in claimed if run is not None], pause

    async def _can_read(self, saga_id: str) -> bool:
        """Say no of a saga that could not be read; it is looked at again now and then, without becoming its owner."""
        until = self._unreadable.get(saga_id)
        if until is None:
            return True
        if time.monotonic() < until:
            return False
        try:
            await self._read(saga_id)
        except UnreadableSaga:
            self._unreadable[saga_id] = time.monotonic() + self.config.lease_seconds
            return False
        except SagaUnknown:
            return False
        del self._unreadable[saga_id]
        return True

    async def _known_releases(self) -> Sequence[str]:
        _, _, releases, _ = await self._store.ask(self._calls.due([], 0))
        return sorted(release.decode() for release in releases)

    async def _tell_of_strangers(self, releases: Sequence[str]) -> None:
        """Log sagas that wait for a process with other steps than ours, whenever their number changes."""
        foreign = [release for release in releases if release not in self._machinery.definitions]
        if not foreign:
            return
        numbers = await self._store.ask(self._calls.overdue(foreign))
        for release, number in zip(foreign, numbers, strict=True):
            if number != self._strangers.get(release, 0):
                self._telemetry.log.warning(
                    "saga.release_unregistered", saga=self.config.name, release=release, due=number
                )
            self._strangers[release] = number
