"""Predictions are kept or put to the user, and what the user says lasts and teaches."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from midas.ai import TASK, Categorizer, Prediction
from midas.confirmations import ConfirmationService
from midas.domain import NewTransaction
from midas.errors import AlreadyDecided, NotYours, UnknownCategory, UnknownTransaction
from midas.sync import SyncService

SURE = Prediction("Groceries", 0.97, "mapping", "known")
UNSURE = Prediction("Shopping", 0.4, "fuzzy", "resembles something")
DAY = datetime(2026, 10, 1, tzinfo=UTC)


@pytest.fixture(name="spend")
def _spend(store):
    """Store one transaction and give it."""

    async def spend(merchant="CORNER SHOP", user_id=1):
        await store.users.ensure_known(user_id)
        number = len(await store.database.rows("SELECT FROM transactions"))
        new = NewTransaction(user_id, "csv", str(number), DAY, Decimal("-9.90"), "EUR", merchant, merchant)
        (stored,) = await store.transactions.add_many([new])
        return stored

    return spend


async def test_a_sure_prediction_is_kept(sync, spend, confirmations, sample):
    """At the threshold and above nobody is asked."""
    transaction = await spend()
    applied = await sync.apply(1, transaction.id, Prediction("Groceries", 0.85, "mapping", "known"))

    assert (applied.transaction.status, applied.transaction.category, applied.confirmation) == (
        "auto",
        "Groceries",
        None,
    )
    assert await confirmations.pending(1) == []
    assert sample("ai_confirmations_total", task=TASK, mode="auto") == 1
    assert sample("transactions_categorized_total", category="Groceries", method="mapping") == 1


async def test_an_unsure_prediction_waits_for_the_user(sync, spend, confirmations, sample):
    """Below the threshold a question with the prediction is put."""
    transaction = await spend()
    applied = await sync.apply(1, transaction.id, UNSURE)

    assert (applied.transaction.status, applied.transaction.category) == ("pending", "Shopping")
    assert await confirmations.pending(1) == [applied.confirmation]
    assert (applied.confirmation.predicted, applied.confirmation.confidence) == ("Shopping", 0.4)
    assert sample("ai_confirmations_total", task=TASK, mode="manual") == 1


async def test_no_answer_leaves_the_transaction_open(sync, spend, store, confirmations):
    """Uncategorized is tried again; nobody is asked about it."""
    transaction = await spend()
    await sync.apply(1, transaction.id, Prediction("Uncategorized", 0.0, "none", "too slow"))

    assert [t.id for t in await store.transactions.uncategorized(1)] == [transaction.id]
    assert await confirmations.pending(1) == []


async def test_a_repeated_task_changes_nothing(sync, spend, confirmations, sample):
    """A task that runs twice, even at once, asks once and counts once."""
    transaction = await spend()
    results = await asyncio.gather(*(sync.apply(1, transaction.id, UNSURE) for _ in range(5)))

    assert len({applied.confirmation.id for applied in results if applied.confirmation}) == 1
    assert len(await confirmations.pending(1)) == 1
    assert sample("ai_confirmations_total", task=TASK, mode="manual") == 1
    again = await sync.apply(1, transaction.id, SURE)
    assert (again.transaction.status, again.transaction.category) == ("pending", "Shopping")


async def test_a_confirmed_category_lasts_and_teaches(sync, spend, store, sample):
    """The merchant is known from then on, and a late prediction changes nothing."""
    transaction = await spend()
    applied = await sync.apply(1, transaction.id, UNSURE)

    confirmed = await sync.confirm(1, applied.confirmation.id)

    assert (confirmed.status, confirmed.category, confirmed.confidence) == ("confirmed", "Shopping", 1.0)
    assert await store.merchants.lookup(1, "CORNER SHOP") == ("Shopping", 1, 0)
    assert (await sync.apply(1, transaction.id, SURE)).transaction == confirmed
    assert sample("ai_corrections_total", task=TASK) == 0
    (decision,) = await store.decisions.of_user(1)
    assert (decision.predicted, decision.decided, decision.outcome, decision.method) == (
        "Shopping",
        "Shopping",
        "confirmed",
        "fuzzy",
    )


async def test_a_correction_lasts_teaches_and_is_counted(sync, spend, store, categorizer, sample):
    """The next payment at the merchant is filed as the user said, without asking."""
    transaction = await spend()
    applied = await sync.apply(1, transaction.id, UNSURE)

    corrected = await sync.correct(1, applied.confirmation.id, "restaurants")

    assert (corrected.status, corrected.category) == ("corrected", "Restaurants")
    assert sample("ai_corrections_total", task=TASK) == 1
    assert sample("transactions_categorized_total", category="Restaurants", method="user") == 1
    later = await categorizer.categorize(1, "CORNER SHOP 12", Decimal(-5))
    assert (later.category, later.method) == ("Restaurants", "mapping")
    assert later.confidence > 0.85
    actions = [entry.action for entry in await store.audit.of_entity("transaction", transaction.id)]
    assert actions == ["category.predicted", "category.corrected"]


async def test_naming_the_predicted_category_confirms_it(sync, spend, sample):
    """A correction to the same is none."""
    applied = await sync.apply(1, (await spend()).id, UNSURE)

    assert (await sync.correct(1, applied.confirmation.id, "Shopping")).status == "confirmed"
    assert sample("ai_corrections_total", task=TASK) == 0


async def test_of_two_answers_the_first_counts(sync, spend, store):
    """A double click teaches once; the second learns that it was decided."""
    applied = await sync.apply(1, (await spend()).id, UNSURE)
    answers = await asyncio.gather(
        *(sync.correct(1, applied.confirmation.id, category) for category in ("Health", "Travel")),
        return_exceptions=True,
    )

    assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyDecided", "Transaction"]
    winner = next(answer for answer in answers if not isinstance(answer, AlreadyDecided))
    assert await store.merchants.lookup(1, "CORNER SHOP") == (winner.category, 1, 0)


async def test_only_the_user_who_was_asked_may_answer(sync, spend):
    """Neither another's question nor another's transaction can be decided."""
    transaction = await spend()
    applied = await sync.apply(1, transaction.id, UNSURE)

    with pytest.raises(NotYours):
        await sync.confirm(2, applied.confirmation.id)
    with pytest.raises(UnknownTransaction):
        await sync.correct_transaction(2, transaction.id, "Health")
    with pytest.raises(UnknownTransaction):
        await sync.apply(2, transaction.id, SURE)
    with pytest.raises(UnknownTransaction):
        await sync.apply(1, 10**9, SURE)


async def test_an_unknown_category_decides_nothing(sync, spend, confirmations):
    """A typing error leaves the question open and suggests what was meant."""
    applied = await sync.apply(1, (await spend()).id, UNSURE)

    with pytest.raises(UnknownCategory, match="did you mean Groceries"):
        await sync.correct(1, applied.confirmation.id, "Grocerys")
    assert len(await confirmations.pending(1)) == 1


async def test_a_rejected_question_files_under_other_and_teaches_nothing(sync, spend, store):
    """Whoever wants no category gets Other, and the merchant stays a stranger."""
    applied = await sync.apply(1, (await spend()).id, UNSURE)

    rejected = await sync.reject(1, applied.confirmation.id)

    assert (rejected.category, rejected.status) == ("Other", "corrected")
    assert await store.merchants.lookup(1, "CORNER SHOP") is None
    assert [decision.outcome for decision in await store.decisions.of_user(1)] == ["rejected"]


async def test_a_kept_category_can_be_corrected_later(sync, spend, store, sample):
    """Nobody was asked, and the user knows better: it is filed anew, taught and counted."""
    transaction = await spend("LIDL")
    await sync.apply(1, transaction.id, SURE)

    corrected = await sync.correct_transaction(1, transaction.id, "Health")

    assert (corrected.category, corrected.status) == ("Health", "corrected")
    assert await store.merchants.lookup(1, "LIDL") == ("Health", 1, 0)
    assert sample("ai_corrections_total", task=TASK) == 1


async def test_unanswered_questions_expire_and_open_the_transaction_again(
    store, redis, categorizer, telemetry, spend
):
    """After its time a question is taken back, and the transaction can be tried again."""
    now = [1_000_000.0]
    confirmations = ConfirmationService(redis, telemetry, ttl=60.0, clock=lambda: now[0])
    sync = SyncService(store, None, categorizer, confirmations, telemetry)
    transaction = await spend()
    await sync.apply(1, transaction.id, UNSURE)
    assert await sync.expire_due() == []

    now[0] += 61.0
    expired = await sync.expire_due()

    assert [confirmation.transaction_id for confirmation in expired] == [transaction.id]
    assert [t.id for t in await store.transactions.uncategorized(1)] == [transaction.id]
    assert [decision.outcome for decision in await store.decisions.of_user(1)] == ["expired"]


async def test_a_transaction_whose_question_was_lost_is_opened_again(sync, spend, store, redis):
    """A crash between the two stores, or a Redis that lost its data, strands nothing."""
    transaction = await spend()
    await sync.apply(1, transaction.id, UNSURE)
    await redis.flushall()

    assert await sync.reopen(1) == 1
    assert [t.id for t in await store.transactions.uncategorized(1)] == [transaction.id]


async def test_a_crash_before_the_question_was_put_is_made_good(sync, spend, store, confirmations):
    """The repeated task finds the transaction pending and puts the question."""
    transaction = await spend()
    await store.transactions.set_category(transaction.id, "Shopping", 0.4, "pending", "fuzzy")

    applied = await sync.apply(1, transaction.id, UNSURE)

    assert await confirmations.pending(1) == [applied.confirmation]


async def test_the_threshold_is_the_callers(store, confirmations, categorizer, spend):
    """A cautious user is asked about everything."""
    sync = SyncService(store, None, categorizer, confirmations, auto_confirm_threshold=1.0)

    assert (await sync.apply(1, (await spend()).id, SURE)).transaction.status == "pending"


@pytest.fixture(name="waiting")
def _waiting(store, confirmations, model, telemetry):
    """Make a service that asks the language model itself and waits for it so many seconds."""

    def make(seconds):
        categorizer = Categorizer(store.merchants, model, telemetry)
        return SyncService(store, None, categorizer, confirmations, telemetry, ai_seconds=seconds)

    return make


async def test_an_ai_that_is_down_files_under_other(waiting, model_server, spend):
    """No error reaches the task; the user is asked what it was."""
    model_server.status = 401

    applied = await waiting(60.0).categorize(1, (await spend("XQZJ WVK")).id, "XQZJ WVK", Decimal("-9.90"))

    assert (applied.transaction.category, applied.transaction.confidence) == ("Other", 0.0)
    assert applied.confirmation is not None


async def test_an_ai_that_is_too_slow_leaves_it_uncategorized(waiting, silence, spend, sample):
    """The task ends in time, and the transaction is tried another time."""
    applied = await waiting(0.5).categorize(1, (await spend("XQZJ WVK")).id, "XQZJ WVK", Decimal("-9.90"))

    assert (applied.transaction.category, applied.transaction.status) == ("Uncategorized", "uncategorized")
    assert sample("ai_fallbacks_total", task=TASK, reason="timeout") == 1
