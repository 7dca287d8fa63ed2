"""Each type of task gives its result, from a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from midas.ai import Categorizer
from midas.confirmations import ConfirmationService
from midas.errors import UnknownTransaction
from midas.sync import SyncService
from midas.worker.handlers import Services, handlers

USER = 7


class Task:
    """What a handler sees of a task."""

    def __init__(self, **payload):
        self.payload = payload


@pytest.fixture(name="confirmations")
def _confirmations(redis, telemetry):
    return ConfirmationService(redis, telemetry)


@pytest.fixture(name="work")
def _work(store, queue, confirmations, telemetry):
    sync = SyncService(store, queue, Categorizer(store.merchants, None, telemetry), confirmations, telemetry)
    return handlers(Services(store, sync, telemetry))


def test_all_four_types_are_known(work):
    """The worker knows the four task types and no other."""
    assert set(work) == {
        "categorize_transaction",
        "analyze_spending",
        "budget_recommendation",
        "find_anomalies",
    }


async def test_a_sure_category_is_kept(work, store, booked):
    """A merchant that the user taught is filed at once, and the result says how sure that was."""
    [payment] = await booked(1)
    for _ in range(20):
        await store.merchants.teach(USER, "ZORBLAX", "Groceries")
    result = await work["categorize_transaction"](
        Task(user_id=USER, transaction_id=payment.id, description="ZORBLAX 0", amount="-12.50")
    )
    assert (result["transaction_id"], result["category"], result["status"]) == (
        payment.id,
        "Groceries",
        "auto",
    )
    assert result["confidence"] >= 0.85
    assert result["confirmation_id"] is None
    assert (await store.transactions.get(payment.id)).category == "Groceries"


async def test_an_unsure_category_waits_for_the_user_once(work, booked, confirmations):
    """A stranger's category is put to the user; the task delivered twice asks once."""
    [payment] = await booked(1)
    task = Task(user_id=USER, transaction_id=payment.id, description="ZORBLAX 0", amount="-12.50")
    first = await work["categorize_transaction"](task)
    second = await work["categorize_transaction"](task)
    [waiting] = await confirmations.pending(USER)
    assert first == second
    assert (first["status"], first["confirmation_id"]) == ("pending", waiting.id)


async def test_another_users_transaction_is_refused(work, booked):
    """A task about a transaction that is not its user's fails and changes nothing."""
    [payment] = await booked(1)
    with pytest.raises(UnknownTransaction):
        await work["categorize_transaction"](
            Task(user_id=8, transaction_id=payment.id, description="ZORBLAX 0", amount="-12.50")
        )


async def test_spending_is_added_up(work, booked, metric):
    """analyze_spending sums the payments of its days and no others, as text; it is measured as an AI task."""
    await booked(4, days_ago=3)
    await booked(5, days_ago=40)
    result = await work["analyze_spending"](Task(user_id=USER, days=30))
    assert (result["currency"], result["spent"]) == ("EUR", "50.00")
    [category] = result["categories"]
    assert (category["category"], category["payments"]) == ("Uncategorized", 4)
    assert datetime.fromisoformat(result["start"]) < datetime.now(UTC)
    assert metric("ai_requests_total", task="analyze_spending", model="statistics", outcome="ok") == 1


async def test_budgets_are_recommended(work, booked):
    """budget_recommendation gives a monthly amount from complete months, as text."""
    for month in range(1, 8):
        await booked(3, days_ago=month * 30, amount="-40.00")
    [budget] = (await work["budget_recommendation"](Task(user_id=USER, months=6)))["budgets"]
    assert 100 <= int(budget["amount"]) <= 250
    assert budget["months"] >= 5


async def test_strange_payments_are_found(work, booked):
    """find_anomalies compares with a year and reports the days that were asked for."""
    for day in range(5, 200, 6):
        await booked(1, days_ago=day, amount=f"-{10 + day % 5}.00")
    await booked(1, days_ago=3, amount="-400.00")
    await booked(1, days_ago=100, amount="-500.00")
    [anomaly] = (await work["find_anomalies"](Task(user_id=USER, days=30)))["anomalies"]
    assert anomaly["amount"] == "400.00"
    assert anomaly["score"] >= 3.5


@pytest.mark.parametrize("days", [0, -1, 3661, "thirty", None])
async def test_impossible_arguments_are_refused_by_name(work, days):
    """A payload that no bot of ours sends fails its task with the field's name."""
    with pytest.raises(msgspec.ValidationError, match=r"\$.days"):
        await work["analyze_spending"](Task(user_id=USER, days=days))


async def test_results_can_be_sent(work, booked, queue):
    """What handlers give travels through the queue unchanged."""
    await booked(3)
    for task_type in ("analyze_spending", "find_anomalies"):
        result = await work[task_type](Task(user_id=USER, days=30))
        task_id = await queue.enqueue_task(task_type, {"user_id": USER, "days": 30})
        await queue.store_result(await queue.dequeue_task("w"), result)
        received = await asyncio.wait_for(queue.get_result(task_id), 60)
        assert msgspec.json.encode(received) == msgspec.json.encode(result)
