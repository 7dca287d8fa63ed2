"""The side of those who look after the queue: how full it is, what was given up, whose worker died."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from botmetry import QueueState
from midas.queue.replies import dead_task
from midas.queue.side import AT_A_TIME, QueueSide

if TYPE_CHECKING:
    from collections.abc import Callable

    from midas.queue.tasks import DeadTask
    from midas.redis.scripts import Call


class Upkeep(QueueSide):
    """Measure, recover, clear."""

    async def get_queue_size(self) -> int:
        """Say how many tasks wait in line.

        Raises:
            QueueUnavailable: Redis did not answer within a second.
        """
        return (await self.state()).ready

    async def clear_queue(self) -> int:
        """Fail every task that waits in line, so that nobody waits for it in vain, and give their number.

        Tasks that are being run go on.

        Raises:
            QueueUnavailable: Redis did not answer within a second.
        """
        return await self._repeat(self._moves.clear)

    async def state(self) -> QueueState:
        """Measure the queue where it is, in Redis: made for ``telemetry.queue.watch``. Nothing is ever delayed.

        Raises:
            QueueUnavailable: Redis did not answer within a second.
        """
        ready, in_flight, dead, age = await self._ask(self._moves.measure())
        return QueueState(
            ready=ready, delayed=0, in_flight=in_flight, dead=dead, oldest_age_seconds=age / 1000
        )

    async def dead_tasks(self, limit: int = AT_A_TIME) -> list[DeadTask]:
        """List the tasks that were given up, the latest first; the queue keeps a thousand of them.

        Raises:
            QueueUnavailable: Redis did not answer within a second.
        """
        return [dead_task(*fields) for fields in await self._ask(self._moves.list_dead(limit))]

    async def purge_dead(self) -> int:
        """Throw away the tasks that were given up, and give their number.

        Raises:
            QueueUnavailable: Redis did not answer within a second.
        """
        return await self._repeat(self._moves.purge_dead)

    async def recover(self) -> int:
        """Give the tasks of dead workers back to the front of their priority, and give their number.

        A task that took ``max_deliveries`` workers with it is dead; whatever waited or ran too long is TIMEOUT. To be
        called every second or two by one process at a time; two at once do no harm.

        Raises:
            QueueUnavailable: Redis did not answer within ten seconds.
        """
        total = 0
        more = True
        while more:
            reply = await self._work(self._moves.recover(AT_A_TIME))
            recovered, buried, waiting, more = reply
            self._count_expired(waiting)
            for _ in range(buried):
                self._telemetry.queue.dead_lettered(self._keys.name)
            if recovered:
                self._telemetry.queue.recovered(self._keys.name, recovered)
            if recovered or buried:
                self._telemetry.log.warning(
                    "queue.tasks_recovered", queue=self._keys.name, recovered=recovered, dead=buried
                )
            total += recovered
        return total

    async def _repeat(self, build: Callable[[int], Call]) -> int:
        total = 0
        while True:
            done = cast("int", await self._ask(build(AT_A_TIME)))
            total += done
            if done < AT_A_TIME:
                return total
