"""Transactions are stored once and categorized by compare-and-set."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import asyncpg
import pytest

START = datetime(2026, 1, 1, tzinfo=UTC)


async def test_what_is_stored_is_what_was_given(store, bought):
    """Amounts are exact, times are the same instant in UTC, and nobody has decided on a category."""
    berlin = timezone(timedelta(hours=1))
    given = bought(
        1, "-0.10", occurred_at=datetime(2026, 5, 1, 1, tzinfo=berlin), description="Ä 'quoted'; --"
    )

    (stored,) = await store.transactions.add_many([given])

    assert stored == await store.transactions.get(stored.id)
    assert (stored.amount, stored.description, stored.merchant) == (
        Decimal("-0.10"),
        given.description,
        "LIDL",
    )
    assert (stored.occurred_at, stored.occurred_at.utcoffset()) == (given.occurred_at, timedelta(0))
    assert (stored.category, stored.confidence, stored.status, stored.method) == (
        None,
        None,
        "uncategorized",
        "none",
    )


async def test_only_what_is_new_is_added_and_given(store, bought):
    """Identity is user, source and external id; a second import of the same gives nothing."""
    await store.transactions.add_many([bought(1), bought(2)])

    new = await store.transactions.add_many(
        [bought(1), bought(2), bought(3), bought(3), bought(1, source="ofx"), bought(1, user_id=2)]
    )

    assert [(t.user_id, t.description) for t in new] == [(1, "LIDL 1"), (2, "LIDL 1"), (1, "LIDL 3")]
    assert await store.transactions.add_many([]) == []


async def test_imports_at_the_same_time_add_everything_once(store, bought):
    """Overlapping imports in other orders neither deadlock nor double anything."""
    numbers = list(range(200))
    runs = [numbers, numbers[::-1], numbers[100:] + numbers[:100], numbers]

    added = await asyncio.gather(*(store.transactions.add_many([bought(n) for n in run]) for run in runs))

    assert sorted(t.external_id for t in (await all_of(store))) == sorted(f"id-{n}" for n in numbers)
    assert sum(map(len, added)) == len(numbers)


async def all_of(store):
    rows = await store.database.rows("SELECT external_id FROM transactions")
    return [type("Row", (), dict(row)) for row in rows]


async def test_a_batch_with_one_impossible_transaction_stores_nothing(store, bought):
    """All or none: an unknown user at the end leaves nothing of the rest."""
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await store.transactions.add_many([bought(1), bought(2, user_id=99)])

    assert await store.transactions.recent(1) == []


async def test_lists_are_in_their_order_and_only_of_their_user(store, bought):
    """Recent is latest first, between is oldest first with the end left out, and nobody sees another's."""
    await store.transactions.add_many([bought(n) for n in range(10)] + [bought(5, user_id=2)])

    assert [t.description for t in await store.transactions.recent(1, 2)] == ["LIDL 9", "LIDL 8"]
    between = await store.transactions.between(1, START + timedelta(days=2), START + timedelta(days=4))
    assert [t.description for t in between] == ["LIDL 2", "LIDL 3"]
    assert {t.user_id for t in await store.transactions.of_merchant(1, "LIDL")} == {1}
    assert len(await store.transactions.uncategorized(1, 100)) == 10


async def test_a_category_is_set_with_its_evidence(store, bought):
    """Category, confidence, status and method arrive together, and the transaction leaves the open ones."""
    (stored,) = await store.transactions.add_many([bought(1)])

    changed = await store.transactions.set_category(stored.id, "Groceries", 0.97, "auto", "mapping")

    assert changed == await store.transactions.get(stored.id)
    assert (changed.category, changed.confidence, changed.status, changed.method) == (
        "Groceries",
        0.97,
        "auto",
        "mapping",
    )
    assert await store.transactions.uncategorized(1) == []
    year = (START, START + timedelta(days=365))
    assert await store.transactions.of_category(1, "Groceries", *year) == [changed]


async def test_of_many_who_decide_at_once_one_wins(store, bought):
    """With an expected status the first changes it, and all others change nothing and learn so."""
    (stored,) = await store.transactions.add_many([bought(1)])

    results = await asyncio.gather(
        *(
            store.transactions.set_category(
                stored.id, "Groceries", 0.5, "pending", "fuzzy", expected=["uncategorized"]
            )
            for _ in range(10)
        )
    )

    assert [result is not None for result in results].count(True) == 1
    assert [t.id for t in await store.transactions.pending(1)] == [stored.id]


@pytest.mark.parametrize(
    ("category", "confidence", "status"),
    [("Sausages", 0.5, "auto"), ("Groceries", 1.5, "auto"), ("Groceries", 0.5, "guessed")],
)
async def test_impossible_values_are_refused_by_the_database(store, bought, category, confidence, status):
    """Unknown categories, statuses and improbable probabilities cannot be stored by any program."""
    (stored,) = await store.transactions.add_many([bought(1)])

    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await store.transactions.set_category(stored.id, category, confidence, status, "none")


async def test_several_are_given_at_once(store, bought):
    """Unknown ids are left out."""
    stored = await store.transactions.add_many([bought(1), bought(2)])

    assert await store.transactions.get_many([stored[1].id, stored[0].id, 10**12]) == stored
    assert await store.transactions.get(10**12) is None
