"""What must hold of a streams queue at any moment, and what is left when everything has ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from midas.queue import Worker
from midas.queue.streams.messages import unpack_head

if TYPE_CHECKING:
    from midas.queue import TaskQueue

STREAMS = [f"{kind}:{priority}" for kind in ("new", "again") for priority in (100, 75, 50, 25)]
HASHES = ("cards", "pace", "live", "unique", "graves", "stats", "turns")
SETS = ("delayed", "parked", "busy", "cancelled", "awaited", "dead")


async def until(condition, seconds=60.0):
    """Wait until a condition holds, async or not."""
    async with asyncio.timeout(seconds):
        while not (await held if asyncio.iscoroutine(held := condition()) else held):
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def at_work(*workers: Worker):
    """Run workers while the block lasts, and stop them in good order."""
    runs = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield runs
    finally:
        for worker in workers:
            worker.stop()
        await asyncio.gather(*runs)


async def run_all(queue: TaskQueue, handlers, **settings):
    """Run what waits, and what is due, until nothing is in line or in flight; what is due later stays."""

    async def is_idle():
        now = await queue.statistics()
        return now.ready == now.in_flight == now.parked == 0 and now.next_due_seconds != 0

    async with at_work(Worker(queue, handlers, **settings)):
        await until(is_idle)


class Snapshot:
    """Everything that one queue has in Redis, read in one transaction."""

    def __init__(self, streams, pending, hashes, sets) -> None:
        heads = {
            f"{index} {entry.decode()}": unpack_head(next(iter(fields)))
            for index, found in enumerate(streams, 1)
            for entry, fields in found
        }
        self.pending = {
            f"{index} {item['message_id'].decode()}"
            for index, found in enumerate(pending, 1)
            if not isinstance(found, Exception)
            for item in found
        }
        self.hashes = {
            name: {key.decode(): value for key, value in found.items()}
            for name, found in zip(HASHES, hashes, strict=True)
        }
        self.sets = {
            name: [member.decode() for member in found] for name, found in zip(SETS, sets, strict=True)
        }
        finished = {place for place in heads if self._is_finished(place)}
        told = {
            name: int(value.split()[0]) for name, value in self.hashes["turns"].items() if name[:5] == "left "
        }
        assert Counter(f"left {place[0]}" for place in finished) == told
        self.entries = {place: head.id for place, head in heads.items() if place not in finished}
        self.stats = Counter({name: int(number) for name, number in self.hashes["stats"].items()})

    def _is_finished(self, place):
        """Whether an entry only waits until those before it are finished, too."""
        _, newest = self.hashes["turns"].get(f"left {place[0]}", b"0 0-0").split()
        return place not in self.pending and _order(place[2:]) <= _order(newest.decode())

    @property
    def live(self):
        return {task_id: place.decode() for task_id, place in self.hashes["live"].items()}

    def in_flight(self):
        return {self.entries[place] for place in self.pending}

    def ends(self):
        """How many tasks have ended, in whatever way."""
        return sum(self.stats[name] for name in ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "dead"))


def _order(entry):
    return tuple(map(int, entry.split("-")))


async def snapshot(queue: TaskQueue) -> Snapshot:
    tag, group = queue.keys.tag, queue.config.consumer_group
    async with queue.redis.pipeline(transaction=True) as pipeline:
        for stream in STREAMS:
            pipeline.xrange(tag + stream)
        for stream in STREAMS:
            pipeline.xpending_range(tag + stream, group, "-", "+", 100_000)
        for name in HASHES:
            pipeline.hgetall(tag + name)
        for name in SETS:
            pipeline.zrange(tag + name, 0, -1)
        found = await pipeline.execute(raise_on_error=False)
    return Snapshot(found[:8], found[8:16], found[16 : 16 + len(HASHES)], found[16 + len(HASHES) :])


async def check_consistent(queue: TaskQueue) -> Snapshot:
    """Each live task is in exactly one place, and no bookkeeping speaks of what is not there."""
    now = await snapshot(queue)
    parked = {member.split("\0")[1][16:]: member for member in now.sets["parked"]}
    entries = {task_id: place for place, task_id in now.entries.items()}
    assert len(entries) == len(now.entries), "one task has two entries"
    assert now.pending <= now.entries.keys()
    for task_id, place in now.live.items():
        if place.startswith("delayed"):
            assert task_id in now.sets["delayed"]
        elif place.startswith("parked "):
            assert parked[task_id] == place.removeprefix("parked ")
        else:
            assert entries[task_id] == " ".join(place.split(" ")[:2])
    places = [*now.sets["delayed"], *parked, *entries]
    assert sorted(places) == sorted(now.live)
    assert now.hashes["cards"].keys() == {*now.sets["delayed"], *parked}
    assert {member.split("\0")[1] for member in now.sets["busy"]} <= now.in_flight()
    assert set(now.sets["cancelled"]) <= now.in_flight()
    assert {task_id.decode() for task_id in now.hashes["unique"].values()} <= now.live.keys()
    paid = {name.removeprefix("paid ") for name in now.hashes["pace"] if name.startswith("paid ")}
    assert paid <= now.live.keys()
    assert sorted(now.sets["dead"]) == sorted(now.hashes["graves"])
    return now


async def check_drained(queue: TaskQueue, *, foreign: int = 0) -> Snapshot:
    """Nothing is left but dead letters, results and statistics, and every task that came in is accounted for.

    Args:
        queue: Which queue.
        foreign: Dead letters that nobody added as tasks.
    """
    now = await check_consistent(queue)
    assert not now.live
    assert not now.entries
    assert not now.sets["awaited"]
    assert now.ends() == now.stats["added"] + now.stats["replayed"] + foreign
    return now


def head_of(queue: TaskQueue, **changes):
    """Give a head's bytes as another program might have written them."""
    fields = {
        "id": "t",
        "type": "t",
        "retries": 0,
        "deliveries": 0,
        "enqueued": 0,
        "wait": 0,
        "timeout": 1000,
    }
    fields |= {"max_retries": 0, "unique": "", "history": []} | changes
    return msgspec.msgpack.encode(list(fields.values()))
