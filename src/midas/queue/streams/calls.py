"""Every move of a task in the streams, as the call of a script."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from midas.redis import Argument, Call, Script

if TYPE_CHECKING:
    from midas.queue.streams.additions import Addition
    from midas.queue.streams.config import TaskQueueConfig
    from midas.queue.streams.keys import StreamKeys
    from midas.queue.streams.settling import Settling

Clock: TypeAlias = Callable[[], float]


class Calls:
    """Builds the calls of one queue.

    Args:
        keys: The queue's keys.
        config: The queue.
        clock: What time it is, in seconds since 1970. None, the normal case, takes the clock of the Redis server,
            the one that all processes share; tests give their own.
    """

    def __init__(self, keys: StreamKeys, config: TaskQueueConfig, clock: Clock | None) -> None:
        self._keys = keys
        self._config = config
        self._clock = clock
        self._lease = _milliseconds(config.lease_seconds)
        self._ttl = _milliseconds(config.result_ttl)
        limits = {name: limit.script_values for name, limit in config.limits.items()}
        self._limits = json.dumps(limits) if limits else ""

    def add(self, additions: Sequence[Addition]) -> Call:
        """New tasks get in line."""
        known = _milliseconds(self._config.known_seconds)
        _, first, *_, is_given = additions[0]
        name = os.urandom(8).hex() if is_given else first  # by which a repeated call is recognised
        return self._call("add", self._config.max_waiting, known, name, *_flat(additions))

    def take(self, reader: str, slots: int, more: int, *, takes_risk: bool) -> Call:
        """Tasks are given to a reader."""
        age = _milliseconds(self._config.age_limit_seconds)
        last_chance = self._config.max_deliveries - 1
        return self._call(
            "take", reader, self._lease, slots, more, age, self._limits, last_chance, int(takes_risk)
        )

    def settle(self, settling: Settling, most_left: int = 0) -> Call:
        """Readers say what becomes of what they hold; so many finished entries may stay behind older ones."""
        return self._call(
            "settle", self._ttl, most_left, self._config.max_dead, *settling.arguments, results=settling.ids
        )

    def wake(self) -> Call:
        """Somebody who waits shall look."""
        return self._call("wake")

    def renew(self, reader: str) -> Call:
        """A reader lives."""
        return self._call("renew", reader, self._lease)

    def leave(self, reader: str) -> Call:
        """A reader goes."""
        return self._call("leave", reader)

    def survey(self, limit: int) -> Call:
        """Who died, and what did they hold?"""
        return self._call("survey", limit, self._lease)

    def held(self, reader: str, limit: int) -> Call:
        """What does a reader hold?"""
        return self._call("held", reader, limit)

    def cancel(self, task_id: str, outcome: bytes) -> Call:
        """Nobody wants it any more."""
        return self._call("cancel", self._ttl, task_id, outcome, results=[task_id])

    def look(self, task_id: str, wait_seconds: float) -> Call:
        """Where is it?"""
        return self._call("look", task_id, _milliseconds(wait_seconds), results=[task_id])

    def measure(self) -> Call:
        """How much is where?"""
        return self._call("measure")

    def dead(self, limit: int, ids: Iterable[str] = ()) -> Call:
        """What was given up?"""
        return self._call("dead", limit, *ids)

    def buried(self) -> Call:
        """Which tasks were given up?"""
        return self._call("buried")

    def replay(self, heads: Sequence[tuple[str, bytes]]) -> Call:
        """What was given up is tried again."""
        return self._call("replay", *_flat(heads), results=[task_id for task_id, _ in heads])

    def purge(self, limit: int, ids: Iterable[str] = ()) -> Call:
        """What was given up is thrown away."""
        return self._call("purge", limit, *ids)

    def _call(self, script: str, *arguments: Argument, results: Sequence[str] = ()) -> Call:
        now = "" if self._clock is None else str(round(self._clock() * 1000))
        keys = self._keys.with_results(results) if results else self._keys.places
        return Call(_script(script), keys, (now, self._config.consumer_group, *arguments))


@cache
def _script(name: str) -> Script:
    return Script("midas.queue.streams", name)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _flat(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [value for row in rows for value in row]
