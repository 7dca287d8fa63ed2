"""Many settlements as one call: what most tasks come to, in columns, and all else a row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midas.queue.streams.config import PRIORITIES
from midas.queue.streams.messages import pack_for_lua
from midas.queue.tasks import TaskStatus

if TYPE_CHECKING:
    from midas.queue.streams.settlements import Settlement
    from midas.redis import Argument


@dataclass(frozen=True, slots=True)
class Settling:
    """What ``settle.lua`` reads, and where its verdicts belong.

    Attributes:
        ids: The tasks', in the script's order.
        arguments: The columns, the rows, and the outcomes of the tasks in the columns.
        places: For each of the ids, the place of its settlement among those that were given.
    """

    ids: list[str]
    arguments: list[Argument]
    places: list[int]

    @classmethod
    def of(cls, settlements: Sequence[Settlement]) -> Settling:
        """Sort settlements by what they are.

        Most tasks are completed and have neither unique key nor limit. Lua takes a third of the time for the ids of
        these that it takes for a row each, of which most values would be the same.
        """
        columns: dict[int, tuple[int, list[str], list[str]]] = {}
        plain: dict[int, list[int]] = {}
        others: list[int] = []
        for place, settlement in enumerate(settlements):
            what, stream, entry, task_id, unique, limited, state, _, _ = settlement
            if (
                what != "done"
                or unique
                or limited
                or state != TaskStatus.COMPLETED
                or stream > len(PRIORITIES)
            ):
                others.append(place)
                continue
            if stream not in columns:
                columns[stream], plain[stream] = (stream, [], []), []
            _, entries, ids = columns[stream]
            entries.append(entry)
            ids.append(task_id)
            plain[stream].append(place)
        completed = [place for places in plain.values() for place in places]
        places = completed + others
        return cls(
            [settlements[place][3] for place in places],
            [
                pack_for_lua(columns.values()),
                pack_for_lua(settlements[place] for place in others),
                *(settlements[place][7] for place in completed),
            ],
            places,
        )

    def verdicts(self, reply: bytes) -> list[bool]:
        """Whether each delivery was still whose who settled it, in the order in which the settlements were given."""
        count = len(self.places)
        verdicts = [False] * count
        for place, verdict in zip(self.places, reply[:count], strict=True):
            verdicts[place] = verdict == ord("1")
        return verdicts

    def discarded(self, reply: bytes) -> int:
        """How many of the oldest dead letters were thrown away because there were too many."""
        return int(reply[len(self.places) :] or 0)
