"""Says to Redis what becomes of a reader's deliveries: many in one call, and again until it answers.

A settlement that cannot be sent must not hold up those beside it. It is found out, logged, and its task is buried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from midas.errors import QueueUnavailable
from midas.queue.streams import settlements
from midas.queue.streams.group_commit import GroupCommit
from midas.queue.streams.settling import Settling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from midas.queue.streams.queue import TaskQueue
    from midas.queue.streams.settlements import Settlement
    from midas.queue.streams.task import StreamTask

_MOST_IN_A_CALL: Final = 256
"""Deliveries that one script call settles: it holds up the server for two milliseconds."""
_MOST_BYTES: Final = 8_388_608
"""And bytes of their results."""
_MOST_LEFT: Final = 1_000
"""Finished entries that may stay in a stream behind an older one that is in flight: as many as a few workers hold."""
_SMALL_BYTES: Final = 4_096
"""Only small ones may: a task that takes an hour must not keep a gigabyte there."""
_LONGEST_PAUSE_SECONDS: Final = 1.0


class Settler:
    """The settlements of one reader.

    Args:
        queue: Whose tasks they are about.
    """

    def __init__(self, queue: TaskQueue) -> None:
        self.under_way: set[str] = set()
        """Deliveries of which the server may not have heard yet what became of them."""
        self._queue = queue
        self._line: GroupCommit[tuple[StreamTask | None, Settlement], bool] = GroupCommit(
            self._send, _MOST_IN_A_CALL
        )

    def settle(
        self, task: StreamTask, settlement: Settlement, on_verdict: Callable[[bool], None] | None = None
    ) -> None:
        """Say what becomes of a task.

        Args:
            task: Which task.
            settlement: One of ``settlements``.
            on_verdict: Is told whether the delivery was still ours.
        """
        self.under_way.add(task.message_id)

        def reply(verdict: bool | BaseException) -> None:  # noqa: FBT001 -- what the server said
            self.under_way.discard(task.message_id)
            if verdict is False:
                self._queue.telemetry.log.warning(
                    "queue.settlement_refused", queue=self._queue.name, task_id=task.id, task_type=task.type
                )
                self._queue.refusals += 1
            if on_verdict is not None:
                on_verdict(verdict is True)

        self._line.put((task, settlement), reply)

    def bury_unreadable(self, stream: int, entry: str, worker_id: str, error: Exception) -> None:
        """Give up an entry whose head cannot be read, so that nobody knows which task it is."""
        self._line.put((None, settlements.unreadable(stream, entry, worker_id, error)), _ignore)

    async def flush(self) -> None:
        """Wait until what was settled has been sent."""
        await self._line.drain()

    async def aclose(self) -> None:
        """Send no more."""
        await self._line.aclose()

    async def _send(self, group: Sequence[tuple[StreamTask | None, Settlement]]) -> Sequence[bool]:
        half = len(group) // 2
        if half and sum(len(told[7]) for _, told in group if isinstance(told[7], bytes)) > _MOST_BYTES:
            return [*await self._send(group[:half]), *await self._send(group[half:])]
        while True:
            try:
                return await self._send_together(group)
            except QueueUnavailable:
                await self._queue.availability.pause(at_most=_LONGEST_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 -- one of them is to blame, and the others are not
                if len(group) == 1:
                    return [await self._give_up(*group[0], error)]
                return [(await self._send([one]))[0] for one in group]

    async def _send_together(self, group: Sequence[tuple[StreamTask | None, Settlement]]) -> Sequence[bool]:
        settling = Settling.of([settlement for _, settlement in group])
        is_small = all(task is None or task.size <= _SMALL_BYTES for task, _ in group)
        call = self._queue.calls.settle(settling, _MOST_LEFT if is_small else 0)
        reply = await self._queue.send(call)
        self._queue.note_discarded(settling.discarded(reply))
        return settling.verdicts(reply)

    async def _give_up(self, task: StreamTask | None, settlement: Settlement, error: Exception) -> bool:
        """Bury a task of which cannot be said what was to be said."""
        what, task_id = settlement[0], settlement[3]
        self._queue.telemetry.log.error(
            "queue.settlement_failed",
            queue=self._queue.name,
            task_id=task_id,
            settlement=what,
            exc_info=error,
        )
        if task is None or what == "dead":
            return False
        reason = f"what became of it cannot be sent: {type(error).__name__}: {error}"
        self._queue.note_dead(task.id, task.type, reason)
        return (await self._send([(task, settlements.buried(task, reason, ""))]))[0]


def _ignore(_: object) -> None:
    """What became of an entry that nobody can read, nobody waits for."""
