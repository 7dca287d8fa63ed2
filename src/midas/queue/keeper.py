"""Renews the leases of running tasks, until they end or their time is over: then the server refuses by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from midas.queue.tasks import Task
from midas.redis import LeaseThread

if TYPE_CHECKING:
    import redis

    from midas.queue.moves import Moves
    from midas.redis import Availability, Call


class LeaseKeeper(LeaseThread[Task]):
    """Keeps the leases of the tasks it is told to hold. Use it as a context manager.

    Args:
        client: A Redis client that nobody else uses, with ``decode_responses`` off. The keeper closes it.
        moves: The queue's moves.
        availability: Is told whether Redis answers.
        on_lost: Called in the keeper's thread with a task that is not ours any more; must not block.
    """

    def __init__(
        self, client: redis.Redis, moves: Moves, availability: Availability, on_lost: Callable[[Task], None]
    ) -> None:
        super().__init__("lease keeper", client, availability)
        self._moves = moves
        self._on_lost = on_lost

    def hold(self, task: Task) -> None:
        """Renew this task's lease from now on."""
        self._keep(task.token, task, task.lease_seconds)

    def drop(self, task: Task) -> None:
        """Renew it no more; nothing happens if it is not held."""
        self._let_go(task.token)

    def _renewal(self, held: Sequence[Task], /) -> Call:
        return self._moves.extend([(task.id, task.token) for task in held])

    def _heard(self, held: Sequence[Task], reply: Sequence[bytes], /) -> None:
        lost = {task_id.decode() for task_id in reply}
        for task in held:
            if task.id in lost and self._let_go(task.token):  # else it ended while the renewal was under way
                self._on_lost(task)
