"""What was given up is kept with all that is known of it, can be tried again, and does no harm where it lies."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from midas.errors import TaskFailed, TaskUnknown
from midas.queue import Limit, NewTask, TaskPriority, TaskStatus, Worker

from .ground import check_drained, head_of, run_all

GARBAGE = [
    {b"\xc1 no message at all": b""},
    {b"": b""},
    {b"\x05": b"\x05"},
    {b"\x90": b"\x90"},
    {b"\x9a" + b"\x80" * 10: b"\x80"},
    {"something": "else"},
    {"just": "some", "other": "program's", "fields": "here"},
]


def _fail(payload):
    raise ValueError("no")


async def test_dead_letters_are_listed_shown_replayed_and_purged(queue):
    """The latest comes first; chosen ones or all can be tried again or thrown away, and the numbers are right."""
    ids = [await queue.add_task("t", {"n": n}, TaskPriority.LOW, max_retries=0) for n in range(5)]
    for task_id in ids:  # one after the other, so that their order is known
        await queue.cancel(await queue.add_task("x", task_id=f"before-{task_id}"))
    await Worker(queue, {"t": _fail}, concurrency=1).run(until_empty=True)

    assert {letter.id for letter in await queue.dead_letters()} == set(ids)
    assert len(await queue.dead_letters(2)) == 2
    shown = await queue.dead_letter(ids[3])
    assert (shown.payload, shown.priority, shown.reason) == ({"n": 3}, TaskPriority.LOW, "ValueError: no")
    with pytest.raises(TaskUnknown, match="among the dead letters"):
        await queue.dead_letter("nobody")

    assert await queue.purge([ids[0], "nobody"]) == 1
    assert await queue.replay([ids[1], ids[0], "nobody"]) == 1
    assert await queue.get_task_status(ids[1]) is TaskStatus.PENDING
    assert (await queue.statistics()).dead == 3
    await Worker(queue, {"t": lambda payload: payload["n"]}).run(until_empty=True)
    assert await queue.get_result(ids[1], 0) == 1
    assert await queue.replay() == 3
    assert await queue.purge() == 0
    await Worker(queue, {"t": _fail}).run(until_empty=True)
    assert await queue.purge() == 3
    assert (await check_drained(queue)).stats["replayed"] == 4


async def test_of_too_many_the_oldest_go(make_queue, telemetry):
    """Past max_dead the oldest dead letters are thrown away, counted, and by whoever adds one to them."""
    queue = await make_queue(max_dead=3)
    for n in range(5):
        await queue.add_task("t", task_id=f"t-{n}", max_retries=0)
        await Worker(queue, {"t": _fail}).run(until_empty=True)
    assert [letter.id for letter in await queue.dead_letters()] == ["t-4", "t-3", "t-2"]
    now = await queue.statistics()
    assert (now.dead, now.dead_lettered, now.discarded) == (3, 5, 2)
    with pytest.raises(TaskFailed):
        await queue.get_result("t-0", 0)  # its outcome is kept as long as any other
    await check_drained(queue)


async def test_a_bound_that_was_lowered_is_kept_from_then_on(make_queue, clock):
    """Dead letters of before a lower bound go with the next one, and those of recovery are bounded, too."""
    many = await make_queue(clock, max_deliveries=1, lease_seconds=10.0)
    await many.add_tasks([NewTask("t", max_retries=0)] * 30)
    await run_all(many, {"t": _fail})
    few = await make_queue(clock, max_deliveries=1, lease_seconds=10.0, max_dead=2)
    await few.add_task("t", task_id="last")
    async with aclosing(few.consume_tasks("w")) as tasks:
        await anext(tasks)
        clock.advance(11)
        assert await few.recover() == 0
        assert (await few.statistics()).dead == 2
    assert "last" in {letter.id for letter in await few.dead_letters()}
    await check_drained(few)


async def test_a_replayed_task_begins_anew(queue):
    """After a replay a task has all its retries again, no result of before, and a new history."""
    task_id = await queue.add_task("t", max_retries=1)
    for _ in range(2):
        attempts = []

        async def handler(task, attempts=attempts):
            attempts.append(task.attempt)
            raise ValueError("again")

        await Worker(queue, {"t": handler}).run(until_empty=True)
        assert attempts == [1, 2]
        with pytest.raises(TaskFailed):
            await queue.get_result(task_id, 0)
        assert await queue.replay() == 1
    await queue.cancel(task_id)
    await check_drained(queue)


async def test_a_replay_respects_what_came_meanwhile(make_queue, clock):
    """A dead letter stays one while another task has its unique key, or its id lives again."""
    queue = await make_queue(clock)
    await queue.add_task("t", unique_key="u", task_id="first", max_retries=0)
    await run_all(queue, {"t": _fail})
    second = await queue.add_task("t", unique_key="u")
    assert await queue.replay() == 0
    await queue.cancel(second)
    clock.advance(100_000)  # the id is forgotten
    again = await queue.add_task("t", task_id="first")
    assert (again, await queue.replay()) == ("first", 0)
    await queue.cancel("first")
    assert await queue.replay(["first"]) == 1
    assert await queue.add_task("t", unique_key="u") == "first"
    await queue.cancel("first")
    await check_drained(queue)


@pytest.mark.parametrize("limits", [{}, {"t": Limit(concurrency=1, per_second=1_000)}])
async def test_what_cannot_be_read_is_a_dead_letter(make_queue, limits):
    """Foreign entries in any stream end in the dead letters, and hold up neither tasks nor the statistics."""
    queue = await make_queue(limits=limits, age_limit_seconds=0.001)
    good = [await queue.add_task("t", {"n": n}, priority) for n, priority in enumerate((100, 75, 50, 25))]
    for stream in range(1, 9):
        for fields in GARBAGE:
            await queue.redis.xadd(queue.keys.tag + queue.keys.stream(stream), fields)
    bodies = [b"\xc1", b"\x93\x02\x80\x80", b"\x93\x01\x90\x80"]
    for n, body in enumerate(bodies):
        head = head_of(queue, id=f"body-{n}", enqueued=1)
        await queue.redis.xadd(f"{queue.keys.tag}new:50", {head: body})
        await queue.redis.hset(f"{queue.keys.tag}live", f"body-{n}", f"3 {await _last(queue)} ")
    assert (await queue.statistics()).ready == 4 + 8 * len(GARBAGE) + len(bodies)

    await Worker(queue, {"t": lambda payload: payload["n"]}, concurrency=3).run(until_empty=True)
    assert [await queue.get_result(task_id, 0) for task_id in good] == [0, 1, 2, 3]
    letters = await queue.dead_letters(1_000)
    assert len(letters) == 8 * len(GARBAGE) + len(bodies)
    assert any("version 2" in letter.reason for letter in letters)
    assert all(letter.payload is None for letter in letters)
    assert await queue.replay() == 0  # it would only come again
    await check_drained(queue, foreign=len(letters))
    assert await queue.purge() == len(letters)


async def test_what_cannot_be_read_is_recovered_as_such(make_queue, clock):
    """A foreign entry that a dead reader held is a dead letter, too."""
    queue = await make_queue(clock, lease_seconds=10.0)
    stream = f"{queue.keys.tag}new:50"
    await queue.redis.xadd(stream, {"x": "y"})
    await queue.redis.xgroup_create(stream, "workers", "0")
    await queue.redis.xreadgroup("workers", "stranger", {stream: ">"})
    assert await queue.recover() == 0  # nobody vouches for the stranger: he gets a lease
    clock.advance(11)
    assert await queue.recover() == 0
    assert (await queue.dead_letters())[0].worker == "stranger"
    assert await queue.redis.xinfo_consumers(stream, "workers") == []
    await check_drained(queue, foreign=1)


async def test_an_unknown_type_is_a_dead_letter(queue):
    """A task that no handler is there for is given up at once, with a reason that says so."""
    await queue.add_tasks([NewTask("unheard.of", {"n": 1})])
    await Worker(queue, {"t": _fail}, worker_id="w-1").run(until_empty=True)
    (letter,) = await queue.dead_letters()
    assert letter.reason == "no handler for 'unheard.of' in worker w-1"
    assert letter.payload == {"n": 1}
    await check_drained(queue)


async def _last(queue):
    ((entry, _),) = await queue.redis.xrevrange(f"{queue.keys.tag}new:50", count=1)
    return entry.decode()
