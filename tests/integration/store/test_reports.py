"""Sums are exact, one currency at a time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from midas.domain import Money

START = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = (START, START + timedelta(days=365))


async def filed(store, transactions, category):
    for stored in await store.transactions.add_many(transactions):
        await store.transactions.set_category(stored.id, category, 1.0, "confirmed", "user")


async def test_without_a_known_balance_everything_booked_is_the_balance(store, bought):
    """A user's money is what came in and went out, one amount a currency."""
    await store.transactions.add_many(
        [bought(1, "100.10"), bought(2, "-0.20"), bought(3, "5", currency="USD")]
    )

    assert await store.reports.balance(1) == [Money(Decimal("99.90"), "EUR"), Money(Decimal(5), "USD")]
    assert await store.reports.balance(2) == []


async def test_a_known_balance_counts_with_what_was_booked_since(store, bought):
    """The latest balance that a bank reported includes everything up to its instant, whenever that was imported."""
    await store.transactions.add_many([bought(n, "-1.00", account="A") for n in range(10)])
    await store.reports.add_snapshot(1, "A", Money(Decimal(1000), "EUR"), START + timedelta(days=2))
    await store.reports.add_snapshot(1, "A", Money(Decimal(500), "EUR"), START + timedelta(days=6))
    await store.transactions.add_many([bought(20, "7", account="B")])

    assert await store.reports.balance(1) == [Money(Decimal(500 - 3 + 7), "EUR")]
    history = await store.reports.balance_history(1, START)
    assert [str(money) for _, money in history] == ["1,000.00 EUR", "500.00 EUR"]


async def test_the_same_balance_twice_is_one(store):
    """Importing a statement again corrects its balance and adds none."""
    for amount in (1, 2):
        await store.reports.add_snapshot(1, "A", Money(Decimal(amount), "EUR"), START)

    assert await store.reports.balance(1) == [Money(Decimal(2), "EUR")]


async def test_spending_is_summed_by_category_without_transfers(store, bought):
    """The largest comes first; income, transfers, other users and other times do not count."""
    await filed(store, [bought(1, "-10"), bought(2, "-20.50"), bought(400, "-99")], "Groceries")
    await filed(store, [bought(3, "-50")], "Health")
    await filed(store, [bought(4, "-500")], "Transfers")
    await filed(store, [bought(5, "2000")], "Income")
    await filed(store, [bought(6, "-1", user_id=2)], "Groceries")
    await store.transactions.add_many([bought(7, "-3")])

    assert await store.reports.spending(1, *YEAR) == [
        ("Health", Decimal(50), 1),
        ("Groceries", Decimal("30.50"), 2),
        ("Uncategorized", Decimal(3), 1),
    ]


async def test_currencies_are_not_added_up(store, bought):
    """The currency of most payments is reported, another one when asked for."""
    await filed(store, [bought(1), bought(2), bought(3, "-9000", currency="JPY")], "Travel")

    assert await store.reports.spending(1, *YEAR) == [("Travel", Decimal(20), 2)]
    assert await store.reports.spending(1, *YEAR, currency="JPY") == [("Travel", Decimal(9000), 1)]
    assert await store.reports.spending(2, *YEAR) == []


async def test_budgets_are_set_replaced_and_removed(store):
    """One limit a category and currency."""
    await store.budgets.set(1, "Groceries", Money(Decimal(300), "EUR"))
    await store.budgets.set(1, "Groceries", Money(Decimal(250), "EUR"))
    await store.budgets.set(1, "Health", Money(Decimal(50), "EUR"))
    await store.budgets.remove(1, "Health")

    assert await store.budgets.of_user(1) == [("Groceries", Money(Decimal(250), "EUR"))]
