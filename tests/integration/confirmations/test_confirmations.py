"""A user is asked once, decides once, and nothing disappears silently."""

from __future__ import annotations

import asyncio
import json

import pytest

from midas.confirmations import (
    AlreadyDecided,
    ConfirmationExpired,
    ConfirmationService,
    ConfirmationStatus,
    NotYours,
    Unknown,
)
from midas.demo.servers import RedisServer
from midas.errors import QueueUnavailable
from midas.redis import connect

DAY = 86_400.0
USER = 2**52 - 1  # the largest id that Telegram gives
OTHER_USER = 7


async def ask(service, transaction_id=1, user_id=USER):
    return await service.create(user_id, transaction_id, "Groceries", 0.41, "LIDL 1234 BERLIN")


async def test_a_question_waits_as_json_for_a_day(service, redis):
    """The document is JSON under confirmation:{id} for 24 hours, its id stands in user_pending:{user_id} by expiry."""
    asked = await ask(service)
    document = json.loads(await redis.get(f"confirmation:{asked.id}"))
    assert document["user_id"] == USER
    assert document["predicted"] == "Groceries"
    assert document["status"] == "pending"
    assert DAY - 60 < await redis.ttl(f"confirmation:{asked.id}") <= DAY
    pending = await redis.zrange(f"user_pending:{USER}", 0, -1, withscores=True)
    assert pending == [(asked.id.encode(), asked.expires_at.timestamp() * 1000)]
    assert DAY - 60 < await redis.ttl(f"user_pending:{USER}") <= DAY


async def test_an_id_fits_into_a_telegram_button(service):
    """Ids are short enough for 64 bytes of callback data with a verb in front, and do not contain its separator."""
    ids = {(await ask(service, number)).id for number in range(50)}
    assert len(ids) == 50
    assert all(len(f"confirmation:correct:{number}") < 50 and ":" not in number for number in ids)


async def test_a_user_confirms(service, clock, metric):
    """Confirming decides on the predicted category and is counted with the time it took."""
    asked = await ask(service)
    clock.advance(90)
    decided = await service.confirm(asked.id, USER)
    assert (decided.status, decided.category) == (ConfirmationStatus.CONFIRMED, "Groceries")
    assert decided.waited_seconds == 90
    assert await service.get(asked.id) == decided
    assert await service.pending(USER) == []
    assert metric("confirmations_total", outcome="confirmed") == 1
    assert metric("confirmation_wait_seconds_sum") == 90


async def test_a_user_corrects(service, metric):
    """Correcting decides on the user's category; naming the predicted one is a confirmation."""
    first, second = await ask(service, 1), await ask(service, 2)
    corrected = await service.correct(first.id, USER, "Household")
    assert (corrected.status, corrected.category) == (ConfirmationStatus.CORRECTED, "Household")
    confirmed = await service.correct(second.id, USER, "Groceries")
    assert (confirmed.status, confirmed.category) == (ConfirmationStatus.CONFIRMED, "Groceries")
    assert metric("confirmations_total", outcome="corrected") == 1
    assert metric("confirmations_total", outcome="confirmed") == 1


async def test_a_user_rejects(service, metric):
    """Rejecting decides that there is no category."""
    rejected = await service.reject((await ask(service)).id, USER)
    assert (rejected.status, rejected.category) == (ConfirmationStatus.REJECTED, None)
    assert metric("confirmations_total", outcome="rejected") == 1


async def test_a_double_click_is_told_what_was_decided(service, metric):
    """The second decision changes nothing and learns of the first."""
    asked = await ask(service)
    await service.confirm(asked.id, USER)
    with pytest.raises(AlreadyDecided, match="already decided: confirmed"):
        await service.confirm(asked.id, USER)
    with pytest.raises(AlreadyDecided, match="already decided: confirmed"):
        await service.correct(asked.id, USER, "Household")
    assert (await service.get(asked.id)).category == "Groceries"
    assert metric("confirmations_total") == 1


async def test_of_many_decisions_at_once_exactly_one_wins(service, others, metric):
    """Three bot processes decide differently at the same moment: one wins, all others learn which."""
    services = [service, *others]
    for number in range(30):
        asked = await ask(service, number)
        outcomes = await asyncio.gather(
            *(one.confirm(asked.id, USER) for one in services),
            *(one.correct(asked.id, USER, "Household") for one in services),
            *(one.reject(asked.id, USER) for one in services),
            return_exceptions=True,
        )
        winners = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, AlreadyDecided)]
        assert (len(winners), len(losers)) == (1, 8)
        assert await service.get(asked.id) == winners[0]
        assert all(str(loser).endswith(winners[0].status.value) for loser in losers)
    assert metric("confirmations_total") == 30


async def test_nobody_decides_for_another(service):
    """Another user's click is refused, before and after the decision, and changes nothing."""
    asked = await ask(service)
    with pytest.raises(NotYours):
        await service.confirm(asked.id, OTHER_USER)
    await service.confirm(asked.id, USER)
    with pytest.raises(NotYours):
        await service.correct(asked.id, OTHER_USER, "Household")


async def test_an_unknown_confirmation_is_unknown(service, redis):
    """An id that never was, and a document that is none of ours, are Unknown."""
    await redis.set("confirmation:strange", b"\xff not ours")
    for wrong in ("never-seen", "strange"):
        with pytest.raises(Unknown):
            await service.confirm(wrong, USER)
        with pytest.raises(Unknown):
            await service.get(wrong)


async def test_the_same_transaction_is_asked_about_once(service, others):
    """A task that runs twice does not ask twice; after the decision the transaction may be asked about again."""
    asked = await asyncio.gather(*(ask(one) for one in (service, *others) for _ in range(5)))
    assert len({one.id for one in asked}) == 1
    assert await service.pending_count() == 1

    await service.confirm(asked[0].id, USER)
    assert (await ask(service)).id != asked[0].id


async def test_pending_questions_are_listed_and_counted(service, clock):
    """pending() gives a user's own, the oldest first; counts are right for one user, for all, and 0 for nobody."""
    assert await service.pending_count() == 0
    assert await service.pending_count(USER) == 0
    assert await service.pending(USER) == []
    mine = []
    for number in range(3):
        mine.append(await ask(service, number))
        clock.advance(1)
    await ask(service, 99, OTHER_USER)

    assert await service.pending(USER) == mine
    assert await service.pending_count(USER) == 3
    assert await service.pending_count() == 4
    await service.confirm(mine[1].id, USER)
    assert await service.pending(USER) == [mine[0], mine[2]]
    assert await service.pending_count(USER) == 2
    assert await service.pending_count() == 3


async def test_an_expired_question_is_over_before_anybody_swept(service, clock, redis):
    """From its last moment on a question is neither listed nor counted nor decided, even if its key is gone."""
    asked = await ask(service)
    clock.advance(DAY)
    assert await service.pending_count() == 0
    assert await service.pending_count(USER) == 0
    with pytest.raises(ConfirmationExpired):
        await service.confirm(asked.id, USER)
    assert await service.pending(USER) == []
    assert await redis.exists(f"user_pending:{USER}") == 0

    await redis.delete(f"confirmation:{asked.id}")  # as Redis does at the end of the key's life
    with pytest.raises(ConfirmationExpired):
        await service.confirm(asked.id, USER)
    with pytest.raises(NotYours):
        await service.confirm(asked.id, OTHER_USER)


async def test_expiry_is_found_once_by_all_processes_together(service, others, clock, redis, metric):
    """250 expired questions are given to three processes, each to exactly one, counted once, and tell late clicks."""
    asked = [await ask(service, number) for number in range(250)]
    clock.advance(DAY / 2)
    young = await ask(service, 999)
    clock.advance(DAY / 2)
    for confirmation in asked[:100]:
        await redis.delete(f"confirmation:{confirmation.id}")

    found = await asyncio.gather(*(one.expire_due() for one in (service, *others)))
    expired = [confirmation for part in found for confirmation in part]
    assert sorted(c.id for c in expired) == sorted(c.id for c in asked)
    assert all(c.status is ConfirmationStatus.EXPIRED and c.description for c in expired)
    assert metric("confirmations_total", outcome="expired") == 250
    assert metric("confirmation_wait_seconds_count") == 0
    assert await service.expire_due() == []
    with pytest.raises(ConfirmationExpired):
        await service.confirm(asked[0].id, USER)
    assert await service.pending(USER) == [young]


async def test_an_unreadable_entry_does_not_stop_expiry(service, clock, redis):
    """An entry that somebody broke is dropped, and the others still expire."""
    broken, fine = await ask(service, 1), await ask(service, 2)
    await redis.hset("confirmations:open", broken.id, b"{}")
    clock.advance(DAY)
    assert [confirmation.id for confirmation in await service.expire_due()] == [fine.id]
    assert await service.expire_due() == []


async def test_nothing_stays_behind(service, clock, redis):
    """Decided and expired questions leave nothing but their documents, which Redis forgets by itself."""
    for number in range(20):
        await ask(service, number, user_id=number)
    for number in range(10):
        [waiting] = await service.pending(number)
        await service.confirm(waiting.id, number)
    clock.advance(DAY)
    assert len(await service.expire_due()) == 10
    keys = [key async for key in redis.scan_iter()]
    assert len(keys) == 20
    assert all(key.startswith(b"confirmation:") for key in keys)
    assert all([await redis.ttl(key) > 0 for key in keys])


async def test_the_redis_servers_clock_is_the_default(redis):
    """Without an injected clock a question with a short life expires by Redis's time, key and all."""
    service = ConfirmationService(redis, ttl=0.05)
    asked = await ask(service)
    async with asyncio.timeout(60):
        while not (expired := await service.expire_due()):
            await asyncio.sleep(0.005)
    assert [confirmation.id for confirmation in expired] == [asked.id]


async def test_questions_survive_a_crash_of_redis(tmp_path, telemetry):
    """After kill -9 of Redis and a restart, the same service decides what was asked before."""
    with RedisServer(tmp_path / "redis", appendfsync="always") as server:
        async with connect(server.url) as client:
            service = ConfirmationService(client, telemetry)
            asked = await ask(service)
            await asyncio.to_thread(server.kill)
            with pytest.raises(QueueUnavailable, match="Connection refused"):
                await service.confirm(asked.id, USER)
            await asyncio.to_thread(server.start)
            assert await service.pending(USER) == [asked]
            assert (await service.confirm(asked.id, USER)).status is ConfirmationStatus.CONFIRMED


async def test_the_gauge_is_asked_from_redis(service, telemetry, metric):
    """confirmations_pending shows what waits in Redis, an explicit 0 when nothing does."""
    telemetry.confirmations.watch(service.pending_count)
    await telemetry.refresh()
    assert "confirmations_pending 0.0" in telemetry.render().decode()
    await ask(service)
    await telemetry.refresh()
    assert metric("confirmations_pending") == 1
