"""Gives the tasks of dead readers to others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from midas.queue.errors import UnreadableTask
from midas.queue.streams import settlements
from midas.queue.streams.messages import unpack_head
from midas.queue.streams.settling import Settling

if TYPE_CHECKING:
    from midas.queue.streams.queue import TaskQueue
    from midas.queue.streams.settlements import Settlement

_AT_A_TIME: Final = 100
_FIELDS: Final = 4


async def recover(queue: TaskQueue) -> int:
    """Give back what readers held whose lease has lapsed; give the number of tasks that go on.

    Two at once do no harm: each entry is taken from its reader once.
    """
    total = 0
    while True:
        found = await queue.send(queue.calls.survey(_AT_A_TIME))
        if not found:
            return total
        group = [
            _settlement(queue, stream, entry.decode(), head, reader.decode())
            for stream, entry, head, reader in (
                found[at : at + _FIELDS] for at in range(0, len(found), _FIELDS)
            )
        ]
        settling = Settling.of(group)
        reply = await queue.send(queue.calls.settle(settling))
        queue.note_discarded(settling.discarded(reply))
        verdicts = settling.verdicts(reply)
        settled = [what for what, is_kept in zip(group, verdicts, strict=True) if is_kept]
        total += _note(queue, settled)


def _settlement(queue: TaskQueue, stream: int, entry: str, packed: bytes, reader: str) -> Settlement:
    try:
        head = unpack_head(packed)
    except UnreadableTask as error:
        return settlements.unreadable(stream, entry, reader, error)
    head.enqueued = head.enqueued or queue.milliseconds_of(entry)
    # Whoever took it may have known of a limit that this process does not.
    return settlements.recovered(stream, entry, head, reader, head.type, queue.config.max_deliveries)


def _note(queue: TaskQueue, settled: list[Settlement]) -> int:
    recovered = sum(what[0] == "again" for what in settled)
    buried = [what for what in settled if what[0] == "dead"]
    for what in buried:
        queue.note_dead(what[3], "", "its workers died")
    if recovered:
        queue.telemetry.queue.recovered(queue.name, recovered)
        queue.telemetry.log.warning(
            "queue.tasks_recovered", queue=queue.name, recovered=recovered, dead=len(buried)
        )
    return recovered
