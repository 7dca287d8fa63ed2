"""The queue does the same on every Redis that it accepts, and refuses those that would lose tasks."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
import redis

from midas.queue import (
    Durability,
    Limit,
    NewTask,
    NotDurable,
    TaskQueue,
    TaskQueueConfig,
    TaskStatus,
    UnsafeServer,
    Worker,
)
from midas.queue.streams.messages import unpack_head

from ..redis_servers import OLD, server, wait  # noqa: TID252 -- the tests are no package on any path
from .ground import at_work, check_drained, snapshot, until


@pytest.fixture(name="old_server", scope="module")
def _old_server(tmp_path_factory):
    with server(tmp_path_factory.mktemp("old") / "data", program=OLD) as port:
        yield port


@pytest.fixture(name="cluster", scope="module")
def _cluster(tmp_path_factory):
    """A cluster of one node that serves one slot, the queue's: keys in any other are an error."""
    options = ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"]
    with server(tmp_path_factory.mktemp("cluster") / "data", *options) as port:
        with redis.Redis(host="127.0.0.1", port=port) as client:
            client.execute_command(
                "CLUSTER", "ADDSLOTS", client.execute_command("CLUSTER", "KEYSLOT", "{q:tasks}:x")
            )
            wait(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
            with pytest.raises(redis.ResponseError, match="CLUSTERDOWN|MOVED|not served"):
                client.set("elsewhere", 1)
        yield port


@pytest.mark.parametrize("kind", ["old_server", "cluster"])
async def test_every_move_works_on_other_servers(make_queue, clock, request, kind):
    """Redis 6.2 and a cluster do every script: adding, running, retrying, cancelling, recovering, replaying, limits."""
    settings = {"lease_seconds": 1_000.0, "limits": {"limited": Limit(concurrency=1, per_second=1_000.0)}}
    url = f"redis://127.0.0.1:{request.getfixturevalue(kind)}"
    queue, other = [await make_queue(clock, url=url, retry_seconds=0.0, **settings) for _ in range(2)]

    def handler(task):
        if task.type == "fails" or not task.head.retries:
            raise ValueError("no")
        return task.attempt

    ids = await queue.add_tasks(
        [
            *(NewTask("t", {}, priority, unique_key=str(priority)) for priority in (100, 75, 50, 25)),
            *(NewTask("limited") for _ in range(3)),
            NewTask("fails", max_retries=1),
            NewTask("t", delay=50, task_id="delayed"),
            NewTask("t", delay=50, task_id="unwanted"),
        ]
    )
    assert await queue.cancel("unwanted")
    async with aclosing(other.consume_tasks("w", ahead=3)) as tasks:
        await anext(tasks)
        clock.advance(1_001)
        assert await queue.recover() == 4
    handlers = {"t": handler, "limited": handler, "fails": handler}
    async with at_work(Worker(queue, handlers, concurrency=2)):
        await until(lambda: _advance_until_ended(queue, clock, 10))
    states = [await queue.get_task_status(task_id) for task_id in ids]
    assert states == ["COMPLETED"] * 7 + ["FAILED", "COMPLETED", "CANCELLED"]
    (letter,) = await queue.dead_letters()
    assert letter.id == ids[7]
    assert await queue.replay() == 1
    await queue.cancel(ids[7])
    await check_drained(queue)


async def test_a_flush_in_mid_work_is_survived(make_queue, metric):
    """When all keys vanish, groups included, workers let go of what they had and go on with what comes."""
    queue = await make_queue(lease_seconds=1.0)
    begun = asyncio.Event()

    async def endless(payload):
        begun.set()
        await asyncio.Event().wait()

    await queue.add_tasks([NewTask("endless")] * 3)
    worker = Worker(queue, {"endless": endless, "t": lambda payload: 1}, concurrency=5)
    async with at_work(worker):
        await begun.wait()
        await queue.redis.flushall()
        task_id = await queue.add_task("t")
        assert await queue.get_result(task_id, 30) == 1
        await until(lambda: not worker._runs)
        assert await queue.get_result(await queue.add_task("t"), 30) == 1
    await check_drained(queue)


async def test_a_restarted_server_has_forgotten_the_scripts(queue):
    """Scripts that the server does not know any more are taught again in passing."""
    await queue.redis.script_flush()
    task_id = await queue.add_task("t")
    async with at_work(Worker(queue, {"t": lambda payload: 1})):
        assert await queue.get_result(task_id, 30) == 1
        await queue.redis.script_flush()
        assert await queue.get_result(await queue.add_task("t"), 30) == 1
    await check_drained(queue)


async def test_too_few_connections_are_refused(redis_url, telemetry):
    """A queue with too few connections says so when it is made, or when one more begins to take tasks from it."""
    for most in (0, 1, 2):
        with pytest.raises(
            ValueError, match=f"max_connections={most} is too few for a queue.*: give it 3 or more"
        ):
            TaskQueue(TaskQueueConfig(redis_url), max_connections=most)
    async with TaskQueue(TaskQueueConfig(redis_url), telemetry, max_connections=4) as queue:
        await queue.add_task("t")
        with pytest.raises(
            ValueError, match="max_connections=4 is too few for 1 workers.*: give it 5 or more"
        ):
            await Worker(queue, {}).run()
        with pytest.raises(ValueError, match="give it 5 or more"):
            await anext(queue.consume_tasks("w"))


async def test_as_few_connections_as_are_accepted_are_enough(redis_url, telemetry):
    """With the fewest connections that are accepted fifty callers add tasks, wait for them, and get their results."""
    async with TaskQueue(TaskQueueConfig(redis_url), telemetry, max_connections=5) as queue:
        async with at_work(Worker(queue, {"t": lambda payload: payload["n"]})):
            for _ in range(3):
                ids = await asyncio.gather(*(queue.add_task("t", {"n": n}) for n in range(50)))
                results = await asyncio.gather(*(queue.get_result(task_id, 30) for task_id in ids))
                assert results == list(range(50))
        await check_drained(queue)


@pytest.mark.parametrize("seconds", [0, 0.0, 0.0004, -1, float("nan"), float("inf")])
def test_a_patience_that_redis_would_take_for_ever_is_refused(seconds):
    """WAIT takes 0 milliseconds for no limit at all: a durability with such a timeout cannot be made."""
    with pytest.raises(ValueError, match="timeout is 0.001 seconds or more"):
        Durability(replicas=1, timeout=seconds)


async def test_unsafe_servers_are_refused(redis_url, redis):
    """A server that may throw away any key is refused at the start; one that evicts only what expires is not."""
    try:
        for policy, is_refused in (("allkeys-lru", True), ("allkeys-random", True), ("volatile-ttl", False)):
            await redis.config_set("maxmemory-policy", policy)
            queue = TaskQueue(TaskQueueConfig(redis_url))
            if is_refused:
                with pytest.raises(
                    UnsafeServer, match=f"maxmemory-policy {policy}.*, tasks included"
                ) as refusal:
                    await queue.__aenter__()
                assert str(refusal.value).startswith(f"Redis at {redis_url.rpartition('@')[2]} ")
            else:
                async with queue:
                    assert (await queue.statistics()).added == 0
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")


async def test_an_old_server_cannot_confirm_its_disk(old_server):
    """WAITAOF needs Redis 7.2: a queue that wants it is refused by an older server when it starts."""
    config = TaskQueueConfig(f"redis://127.0.0.1:{old_server}", durability=Durability(local_disk=True))
    with pytest.raises(UnsafeServer, match="needs 7.2"):
        await TaskQueue(config).__aenter__()


async def test_adding_waits_for_a_replica(make_queue, tmp_path, redis_server, redis_url):
    """With replicas=1 an add returns when a replica has it, and raises NotDurable when none has; it is added anyway."""
    durable = {"durability": Durability(replicas=1, timeout=0.3)}
    queue = await make_queue(**durable)
    with pytest.raises(NotDurable, match="1 replicas"):
        await queue.add_task("t", task_id="alone")
    assert await queue.get_task_status("alone") is TaskStatus.PENDING

    await queue.redis.config_set("repl-diskless-sync-delay", 0)
    password = queue.redis.connection_pool.connection_kwargs["password"]
    master = ["--replicaof", "127.0.0.1", str(redis_server.port), "--masterauth", password]
    with server(tmp_path / "replica", *master) as port:
        with redis.Redis(host="127.0.0.1", port=port) as replica:
            await until(lambda: replica.info("replication")["master_link_status"] == "up")
            patient = await make_queue(durability=Durability(replicas=1, timeout=60.0))
            ids = [await patient.add_task("t"), *await patient.add_tasks([NewTask("t")] * 600)]
            known = {task_id.decode() for task_id in replica.hkeys(f"{queue.keys.tag}live")}
        assert set(ids) <= known
        await Worker(patient, {"t": lambda payload: 1}).run(until_empty=True)
    await check_drained(queue)


async def test_dead_readers_are_removed_and_their_tasks_are_not(make_queue, clock):
    """A consumer that is gone leaves the group only when nothing is pending with it; 250 held tasks all come back."""
    queue, other = [await make_queue(clock, lease_seconds=1_000.0) for _ in range(2)]
    await queue.add_tasks([NewTask("t", {}, priority) for priority in (100, 25) for _ in range(125)])
    async with aclosing(other.consume_tasks("w", ahead=300)) as tasks:
        await anext(tasks)
        assert (await queue.statistics()).in_flight == 250
        clock.advance(1_001)
        for entry, fields in await queue.redis.xrange(f"{queue.keys.tag}new:25", count=7):  # deleted by hand
            await queue.redis.xdel(f"{queue.keys.tag}new:25", entry)
            await queue.redis.hdel(f"{queue.keys.tag}live", unpack_head(next(iter(fields))).id)
        assert await queue.recover() == 243
        assert await queue.recover() == 0
        assert [len(await _consumers(queue, stream)) for stream in (1, 4)] == [0, 0]
    await queue.redis.hincrby(f"{queue.keys.tag}stats", "added", -7)
    async with at_work(Worker(queue, {"t": lambda payload: 1})):
        await until(lambda: _ended(queue, 243))
    await check_drained(queue)


async def _consumers(queue, stream):
    consumers = await queue.redis.xinfo_consumers(queue.keys.tag + queue.keys.stream(stream), "workers")
    return [consumer for consumer in consumers if consumer["name"].startswith(b"w:")]


async def _ended(queue, count):
    return (await snapshot(queue)).ends() == count


async def _advance_until_ended(queue, clock, count):
    clock.advance(1)
    return await _ended(queue, count)
