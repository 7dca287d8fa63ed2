"""Transfers between cards as sagas: all of the money is moved, or nothing; whoever dies, and however often one asks."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import pytest_asyncio

from midas.demo.servers import RedisServer
from midas.domain import Money
from midas.domain.cards import find_card
from midas.errors import QueueUnavailable, TransferRefused
from midas.queue import AITaskQueue, TaskQueue, Worker
from midas.redis import connect
from midas.saga import SagaConfig, SagaOversight, SagaState, Terminal
from midas.sync import CardTransfers
from midas.sync.notices import TELL_TRANSFERRED, notices_config
from midas.sync.transfers import TRANSFERS

CHAT = 77
GIRO, SAVINGS, DOLLARS = "DE02120300000000202051", "DE02500105170137075030", "US64SVBKUS6S3300958879"
NOW = datetime.now(UTC)


@pytest_asyncio.fixture(name="accounts")
async def _accounts(store):
    """Somebody with 100 euros on one card, 5 on another, 50 dollars on a third, and -3 euros without a number."""
    await store.users.ensure(1, "Ada", 1)
    known = ((GIRO, "100", "EUR"), (SAVINGS, "5", "EUR"), (DOLLARS, "50", "USD"), ("", "-3", "EUR"))
    for account, amount, currency in known:
        # Banks date balances to the end of a day that is not over yet.
        await store.reports.add_snapshot(
            1, account, Money(Decimal(amount), currency), NOW + timedelta(hours=2)
        )


@pytest.fixture(name="make_transfers")
def _make_transfers(store, redis_url, queue, telemetry, accounts):
    """Make what a process has to run transfers; each call is another process."""
    return lambda: CardTransfers(store, redis_url, queue.availability, telemetry)


@pytest_asyncio.fixture(name="transfers")
async def _transfers(make_transfers):
    async with make_transfers() as transfers:
        yield transfers


@pytest_asyncio.fixture(name="sagas")
async def _sagas(redis_url):
    async with SagaOversight(SagaConfig(redis_url=redis_url, name=TRANSFERS)) as oversight:
        yield oversight


@pytest.fixture(name="told")
def _told(redis_url):
    """Give the notices that wait, by their ids."""

    async def read():
        found = {}

        def note(task):
            found[task.id] = task.payload

        async with TaskQueue(notices_config(redis_url)) as notices:
            await Worker(notices, {TELL_TRANSFERRED: note}).run(until_empty=True)
        return found

    return read


async def move(transfers, amount="30", source="2051", target="5030", transfer_id="t1", currency=None):  # noqa: PLR0917
    await transfers.transfer(1, CHAT, (Decimal(amount), currency), source, target, transfer_id)


async def held(store):
    return {card.name: str(card.available) for card in await store.transfers.cards(1)}


BEFORE = {"EUR": "-3.00 EUR", "•2051": "100.00 EUR", "•5030": "5.00 EUR", "•8879": "50.00 USD"}
AFTER = BEFORE | {"•2051": "70.00 EUR", "•5030": "35.00 EUR"}


async def test_money_is_moved(transfers, store, sagas, told, sample):
    """Both cards show it, the sum stays, the bookings are transfers and no spending, and one notice waits."""
    await move(transfers)

    assert await held(store) == AFTER
    assert [str(money) for money in await store.reports.balance(1)] == ["102.00 EUR", "50.00 USD"]
    assert await store.reports.spending(1, NOW - timedelta(days=1), NOW + timedelta(days=1)) == []
    booked = {
        t.description: (str(t.amount), t.category, t.status) for t in await store.transactions.recent(1)
    }
    assert booked == {
        "TRANSFER TO •5030": ("-30", "Transfers", "confirmed"),
        "TRANSFER FROM •2051": ("30", "Transfers", "confirmed"),
    }
    assert [(t.id, t.state) for t in await store.transfers.recent(1)] == [("t1", "booked")]
    assert (await sagas.show("t1")).state is SagaState.COMPLETED
    notices = await told()
    assert {key: (notice["amount"], notice["done"]) for key, notice in notices.items()} == {
        "t1-done": ("30", True)
    }
    assert [entry.action for entry in await store.audit.of_user(1)] == ["transfer.booked"]
    assert sample("saga_finished_total", saga=TRANSFERS, outcome="completed") == 1


async def test_the_same_wish_is_done_once(transfers, store, told):
    """Asked for again under its id, at once or later, nothing more is moved."""
    await asyncio.gather(*(move(transfers) for _ in range(3)))
    await move(transfers)
    assert await held(store) == AFTER
    assert list(await told()) == ["t1-done"]


async def test_a_card_is_not_spent_twice(transfers, store, told):
    """Of five transfers at once from a card that holds enough for three, three are done and two refused."""
    asked = (move(transfers, transfer_id=f"t{number}") for number in range(5))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 3
    assert all(isinstance(outcome, TransferRefused) for outcome in outcomes if outcome is not None)
    assert (await held(store))["•2051"] == "10.00 EUR"
    assert len(await told()) == 3


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"amount": "100.01"}, ("•2051 holds 100.00 EUR", "100.01 EUR")),
        ({"source": "1111"}, ("no card 1111", "EUR, •2051, •5030, •8879")),
        ({"target": "nowhere"}, ("no card nowhere",)),
        ({"target": "8879"}, ("•2051 is in EUR and •8879 in USD",)),
        ({"target": "•2051"}, ("one card",)),
        ({"currency": "USD"}, ("EUR and not in USD",)),
        ({"amount": "0"}, ("more than nothing",)),
        ({"amount": "-5"}, ("more than nothing",)),
        ({"amount": "1.005"}, ("2 decimals",)),
        ({"source": ""}, ("no card",)),
        ({"source": "eur"}, ("EUR holds -3.00 EUR",)),
    ],
)
async def test_what_cannot_be_moved_is_refused_with_the_reason(transfers, store, told, wish, words):
    """Nothing is moved, the error says why, and no notice says anything."""
    with pytest.raises(TransferRefused) as refused:
        await move(transfers, **wish)
    for word in words:
        assert word in str(refused.value)
    assert await held(store) == BEFORE
    assert await told() == {}


async def test_who_asked_a_process_that_died_hears_of_a_refusal(make_transfers, store, sagas, told):
    """It died before the first step, and the card does not hold the amount any more: nobody else can say so."""
    async with make_transfers() as first:
        cards = await first.cards(1)
        source, target = find_card(cards, "2051"), find_card(cards, "5030")
        await store.transfers.ask("t1", 1, source, target, Money(Decimal(80), "EUR"))
        context = {"user_id": 1, "chat_id": CHAT, "amount": "80", "currency": "EUR"}
        await first._sagas.start(context | {"from_card": source.name, "to_card": target.name}, saga_id="t1")
    async with make_transfers() as second:
        await move(second, amount="30", transfer_id="t2")
        assert await second._sagas.recover() == 1
    assert (await sagas.show("t1")).state is SagaState.FAILED
    notices = await told()
    assert {key: notice["done"] for key, notice in notices.items()} == {"t1-undone": False, "t2-done": True}


@pytest.mark.parametrize("step", ["_reserve", "_debit", "_credit", "_book", "_notify"])
async def test_another_process_finishes_what_one_left(make_transfers, store, sagas, told, monkeypatch, step):  # noqa: PLR0917
    """A process that stops in any step, its effect done, leaves the rest to another: moved once, told once."""
    reached = asyncio.Event()
    original = getattr(CardTransfers, step)

    async def stop_after(self, context):
        await original(self, context)
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(CardTransfers, step, stop_after)
        first = make_transfers()
    async with first:
        moving = asyncio.create_task(move(first))
        await asyncio.wait_for(reached.wait(), 60)
        moving.cancel()
    async with make_transfers() as second:
        assert await second._sagas.recover() == 1

    assert (await sagas.show("t1")).state is SagaState.COMPLETED
    assert await held(store) == AFTER
    assert list(await told()) == ["t1-done"]


@pytest.mark.parametrize("step", ["_debit", "_credit", "_book"])
async def test_a_transfer_that_fails_is_undone(make_transfers, store, sagas, told, monkeypatch, step):  # noqa: PLR0917
    """Whatever was done is undone: the cards are as before, nothing is reserved, and a notice says so."""

    async def no_more(self, context):
        raise Terminal("the books are closed")

    with monkeypatch.context() as patch:
        patch.setattr(CardTransfers, step, no_more)
        transfers = make_transfers()
    async with transfers:
        await move(transfers)

    assert (await sagas.show("t1")).state is SagaState.FAILED
    assert await held(store) == BEFORE
    assert await store.transactions.recent(1) == []
    assert {key: notice["done"] for key, notice in (await told()).items()} == {"t1-undone": False}


async def test_without_redis_nothing_is_moved_and_never_will_be(store, accounts, telemetry, tmp_path):
    """The wish is withdrawn, so that a saga that was begun nevertheless does nothing."""
    with RedisServer(tmp_path, appendfsync="always") as server:
        async with (
            connect(server.url) as redis,
            AITaskQueue(redis, telemetry=telemetry) as queue,
            CardTransfers(store, server.url, queue.availability, telemetry) as transfers,
        ):
            await asyncio.to_thread(server.stop)
            with pytest.raises(QueueUnavailable):
                await move(transfers)
            await asyncio.to_thread(server.start)
            with pytest.raises(TransferRefused, match="it was withdrawn before"):
                await move(transfers)
    assert await held(store) == BEFORE
    assert [t.state for t in await store.transfers.recent(1)] == ["withdrawn"]
