"""The side of a queue of those who add tasks. What many add at the same time goes to Redis in one call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from midas.queue.errors import QueueFull
from midas.queue.streams.additions import addition_of
from midas.queue.streams.config import TaskPriority
from midas.queue.streams.group_commit import GroupCommit
from midas.queue.streams.task import NewTask
from midas.redis import NotDurable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from botmetry import Telemetry
    from midas.queue.streams.additions import Addition
    from midas.queue.streams.calls import Calls, Clock
    from midas.queue.streams.config import TaskQueueConfig
    from midas.redis import Call, Sender

_MOST_IN_A_CALL: Final = 500
"""Tasks that one script call adds: it holds up the server for a millisecond or two."""
_MOST_BYTES: Final = 8_388_608
"""And bytes: no more of the largest ones than Redis takes in long before a caller is told that it is away."""
_REFUSED: Final = "!"
"""What ``add.lua`` says of a task that found no room; no id looks like that."""
_body_of: Final = itemgetter(3)
ANSWER_SECONDS: Final = 1.0
"""Callers with a person waiting learn after a second that Redis is away."""


class Adding(ABC):
    """Add one, add many."""

    config: TaskQueueConfig
    telemetry: Telemetry
    calls: Calls
    _clock: Clock | None
    _sender: Sender

    def __init__(self) -> None:
        self._additions: GroupCommit[Addition, str] = GroupCommit(self._send_additions, _MOST_IN_A_CALL)

    @property
    @abstractmethod
    def name(self) -> str:
        """The queue's name."""

    @abstractmethod
    async def ask(self, call: Call) -> Any:
        """Send a call for which a person may be waiting."""

    async def add_task(
        self,
        task_type: str,
        payload: dict[str, Any] | None = None,
        priority: int = TaskPriority.NORMAL,
        *,
        delay: float = 0.0,
        at: datetime | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 -- the task's, not this call's
        expires: float | None = None,
        unique_key: str | None = None,
        task_id: str | None = None,
        max_retries: int | None = None,
    ) -> str:
        """Add a task and give its id. The caller's trace and log context travel with it.

        What is added at the same time, by many callers, goes to Redis in one call. ``NewTask`` says what the arguments
        are. With a ``unique_key`` that a live task has, or a ``task_id`` that is known, nothing is added, and the id
        is that of the task which is there, also where the queue is full.

        Raises:
            InvalidTask: The task is impossible; nothing was sent.
            QueueFull: As many tasks wait as may; this one was not added.
            NotDurable: It was added, and ``durability`` was not reached.
            QueueUnavailable: Redis did not answer within a second, or has no memory left. The task may have been added
                nevertheless, so repeat with the same ``task_id``, or tell the user.
        """
        new = NewTask(
            task_type,
            {} if payload is None else payload,
            priority,
            delay,
            at,
            timeout,
            expires,
            unique_key,
            task_id,
            max_retries,
        )
        addition = addition_of(new, self.config, self.telemetry.carrier(), self._clock)
        there = await self._additions.send(addition)
        if there == _REFUSED:
            raise QueueFull(self.name, self.config.max_waiting, [None])
        self._note_added([new], [addition], [there])
        return there or addition[1]

    async def add_tasks(self, tasks: Sequence[NewTask]) -> list[str]:
        """Add many tasks and give their ids, in their order. Each 500 of them are one call, fewer where they are large.

        Raises:
            InvalidTask: One of them is impossible; nothing was sent.
            QueueFull: Not all of them found room. Those that did were added, the first ones first, and so was nothing
                twice: ``ids`` says which they are, and the others can be added later.
            NotDurable: See ``add_task``.
            QueueUnavailable: See ``add_task``. What the calls before had added stays.
        """
        carrier = self.telemetry.carrier()
        additions = [addition_of(new, self.config, carrier, self._clock) for new in tasks]
        ids: list[str] = []
        refused = 0
        for start in range(0, len(additions), _MOST_IN_A_CALL):
            group = additions[start : start + _MOST_IN_A_CALL]
            replies = await self._send_additions(group)
            self._note_added(tasks[start : start + _MOST_IN_A_CALL], group, replies)
            ids += [there or addition[1] for addition, there in zip(group, replies, strict=True)]
            refused += replies.count(_REFUSED)
        if refused:
            there_now = [None if task_id == _REFUSED else task_id for task_id in ids]
            raise QueueFull(self.name, self.config.max_waiting, there_now)
        return ids

    async def _send_additions(self, group: Sequence[Addition]) -> Sequence[str]:
        half = len(group) // 2
        if half and sum(map(len, map(_body_of, group))) > _MOST_BYTES:
            return [*await self._send_additions(group[:half]), *await self._send_additions(group[half:])]
        call = self.calls.add(group)
        durability = self.config.durability
        if not durability.is_wanted:
            return [there.decode() for there in await self.ask(call)]
        reply, confirmed = await self._sender.send_and(
            call, durability.wait_command, within=ANSWER_SECONDS + durability.timeout
        )
        replies = [there.decode() for there in reply]
        added = len(replies) - replies.count(_REFUSED)
        if added and not durability.is_reached(confirmed):
            raise NotDurable(
                f"{added} tasks are in the queue {self.name!r}, but after {durability.timeout:g} s Redis had not "
                f"confirmed {durability}: {confirmed}"
            )
        return replies

    def _note_added(
        self, tasks: Sequence[NewTask], group: Sequence[Addition], replies: Sequence[str]
    ) -> None:
        counts: dict[str, int] = {}
        write = self.telemetry.log.debug
        for new, addition, there in zip(tasks, group, replies, strict=True):
            if not there:
                counts[new.task_type] = counts.get(new.task_type, 0) + 1
                write(
                    "queue.task_enqueued",
                    queue=self.name,
                    task_id=addition[1],
                    task_type=new.task_type,
                    priority=new.priority,
                )
        for task_type, number in counts.items():
            self.telemetry.queue.enqueued(self.name, task_type, number)
