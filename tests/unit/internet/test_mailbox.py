"""Updates are given out at least once, in order, until an offset confirms them."""

import asyncio

import pytest

from midas.demo.internet.mailbox import CAPACITY, Mailbox, PollerReplacedError


@pytest.fixture
def delivered():
    return []


@pytest.fixture
def mailbox(delivered):
    return Mailbox(100, delivered.append)


async def _ids(mailbox, offset=0, limit=100, wait=0.0, allowed=None):
    return [update["update_id"] for update in await mailbox.poll(offset, limit, wait, allowed)]


async def test_unconfirmed_updates_come_again(mailbox, delivered):
    """Without an offset the same updates come with every poll; they count as delivered once."""
    mailbox.put("message", {})
    mailbox.put("message", {})
    assert await _ids(mailbox) == [100, 101]
    assert await _ids(mailbox) == [100, 101]
    assert await _ids(mailbox, offset=101) == [101]
    assert await _ids(mailbox, offset=102) == []
    assert [update["update_id"] for update in delivered] == [100, 101]


async def test_a_negative_offset_keeps_the_last_ones(mailbox):
    """Offset -1 forgets everything but the newest update."""
    for _ in range(4):
        mailbox.put("message", {})
    assert await _ids(mailbox, offset=-1) == [103]
    assert await _ids(mailbox) == [103]


async def test_a_poll_is_woken_by_the_next_update(mailbox):
    """A waiting poll returns with the update as soon as it is there, not when its time is over."""
    poll = asyncio.create_task(_ids(mailbox, wait=60))
    await mailbox.polled.wait()
    mailbox.put("message", {})
    async with asyncio.timeout(30):
        assert await poll == [100]


async def test_a_second_poller_sends_the_first_away(mailbox):
    """Of two pollers the older one gets the conflict, and the newer one the updates."""
    first = asyncio.create_task(_ids(mailbox, wait=60))
    await mailbox.polled.wait()
    second = asyncio.create_task(_ids(mailbox, wait=60))
    with pytest.raises(PollerReplacedError):
        await first
    mailbox.put("message", {})
    assert await second == [100]


async def test_only_wanted_kinds_are_kept(mailbox):
    """Once a bot said which kinds it wants, others do not take an id; an empty list means all again."""
    await _ids(mailbox, allowed=["message"])
    assert mailbox.put("callback_query", {}) is None
    assert mailbox.put("message", {}) == 100
    await _ids(mailbox, allowed=[])
    assert mailbox.put("callback_query", {}) == 101


async def test_a_batch_has_the_asked_size(mailbox):
    """A limit is kept, and never exceeds a hundred."""
    for _ in range(120):
        mailbox.put("message", {})
    assert len(await _ids(mailbox, limit=3)) == 3
    assert len(await _ids(mailbox, limit=1000)) == 100


async def test_an_unpolled_mailbox_is_bounded(mailbox):
    """When nobody polls, the oldest updates are forgotten instead of filling the memory."""
    for _ in range(CAPACITY + 5):
        mailbox.put("message", {})
    assert len(mailbox) == CAPACITY
    assert (await _ids(mailbox, limit=1)) == [105]
