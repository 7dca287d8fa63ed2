"""The task queue: what is put in comes out once, most urgent first, and has one outcome, whoever dies in between.

Every step is one script on the Redis server, so a task is never between two places. A worker holds a task by a token
and a lease: only the token of the latest delivery may end the task, and a task whose lease lapses is given to somebody
else. So a task runs at least once, and ends exactly once.

Priorities are strict: 100 goes before 99 as long as there is a 100, and equal ones go in the order in which they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from midas.queue.deliveries import Deliveries
from midas.queue.submissions import Submissions
from midas.queue.upkeep import Upkeep

if TYPE_CHECKING:
    from types import TracebackType


class AITaskQueue(Submissions, Deliveries, Upkeep):
    """One queue with all its sides; ``QueueSide`` says what it is made with.

    Use it as an async context manager, or call ``aclose()`` in a process that has waited for results.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop listening for finished tasks. Nothing happens to the tasks."""
        await self._completions.aclose()
