"""What is handed in while a group is being sent goes with the next, in order, and everyone gets an answer."""

from __future__ import annotations

import asyncio

import pytest

from midas.queue.streams.closing import to_the_end
from midas.queue.streams.group_commit import GroupCommit


class _Wire:
    """Sends groups one at a time, when told to."""

    def __init__(self):
        self.groups = []
        self.open = asyncio.Event()
        self.error = None

    async def __call__(self, group):
        self.groups.append(group)
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return [f"sent {item}" for item in group]


async def test_what_comes_meanwhile_goes_together():
    """The first item goes alone and at once, the next four in groups of at most three, each with its own reply."""
    wire = _Wire()
    line = GroupCommit(wire, 3)
    first = asyncio.create_task(line.send(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(line.send(n)) for n in range(1, 5)]
    wire.open.set()
    assert await asyncio.gather(first, *others) == [f"sent {n}" for n in range(5)]
    assert wire.groups == [[0], [1, 2, 3], [4]]
    await line.drain()


async def test_an_error_is_told_to_whom_it_belongs():
    """A group that could not be sent is an error for its items, and the next group goes all the same."""
    wire = _Wire()
    wire.open.set()
    line = GroupCommit(wire, 10)
    wire.error = ConnectionError("away")
    with pytest.raises(ConnectionError):
        await line.send(1)
    wire.error = None
    assert await line.send(2) == "sent 2"


async def test_who_is_cancelled_does_not_keep_others_from_their_replies():
    """The reply to an item whose sender was cancelled is dropped, and the others of its group get theirs."""
    wire = _Wire()
    line = GroupCommit(wire, 10)
    senders = [asyncio.create_task(line.send(n)) for n in range(3)]
    await asyncio.sleep(0)
    senders[1].cancel()
    wire.open.set()
    replies = await asyncio.gather(*senders, return_exceptions=True)
    assert (replies[0], replies[2]) == ("sent 0", "sent 2")
    assert isinstance(replies[1], asyncio.CancelledError)


async def test_what_came_behind_one_that_is_sent_alone_goes_when_that_was_cancelled():
    """Who sends his own item and is cancelled keeps nobody waiting."""
    wire = _Wire()
    line = GroupCommit(wire, 10)
    alone = asyncio.create_task(line.send(0))
    await asyncio.sleep(0)
    others = [asyncio.create_task(line.send(n)) for n in (1, 2)]
    await asyncio.sleep(0)
    alone.cancel()
    wire.open.set()
    assert await asyncio.gather(*others) == ["sent 1", "sent 2"]
    assert wire.groups == [[0], [1, 2]]


async def test_a_line_that_is_closed_while_one_sends_alone_answers_the_others():
    """Who sends his own item gets his reply, and those behind him a cancellation."""
    wire = _Wire()
    line = GroupCommit(wire, 10)
    alone, other = asyncio.create_task(line.send(0)), asyncio.create_task(line.send(1))
    await asyncio.sleep(0)
    await line.aclose()
    wire.open.set()
    assert await alone == "sent 0"
    with pytest.raises(asyncio.CancelledError):
        await other
    assert wire.groups == [[0]]


async def test_a_closed_line_leaves_nobody_waiting():
    """Items that were not sent when the line is closed, those behind the group on its way included, are answered."""
    wire = _Wire()
    line = GroupCommit(wire, 2)
    replies = []
    for n in range(5):
        line.put(n, replies.append)
    await asyncio.sleep(0)
    await line.aclose()
    assert len(replies) == 5
    assert all(isinstance(reply, asyncio.CancelledError) for reply in replies)


async def test_an_ending_comes_to_its_end_however_often_it_is_cancelled():
    """Three cancellations hurry an ending and do not cut it short; then the one who waited learns of them."""
    steps, hurried, going = [], [], asyncio.Event()

    async def ending():
        await going.wait()
        steps.append("done")

    waiting = asyncio.create_task(to_the_end(ending(), lambda: hurried.append(1)))
    for _ in range(3):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    going.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (steps, hurried) == (["done"], [1, 1, 1])
