"""What an import added is known exactly, and exactly that is taken back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from midas.domain import Money
from midas.errors import UnknownImport
from midas.store.imports import KnownBalance

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def euros(amount):
    return KnownBalance("", Money(Decimal(amount), "EUR"), NOW)


async def wallets(store):
    return (await store.database.row("SELECT count(*) AS count FROM wallets"))["count"]


async def test_a_file_is_kept_until_it_is_removed(store):
    """Keeping it twice keeps the first; what is removed is gone, and removing it again is no error."""
    await store.imports.keep("i1", 1, "a.csv", b"\x00one")
    await store.imports.keep("i1", 1, "a.csv", b"two")
    file = await store.imports.file("i1")
    assert (file.user_id, file.name, file.content) == (1, "a.csv", b"\x00one")

    await store.imports.remove("i1")
    await store.imports.remove("i1")
    assert await store.imports.file("i1") is None


async def test_booking_again_books_nothing(store, bought):
    """The second call says that it did nothing, and what was added is still known."""
    await store.transactions.add_many([bought(1)])
    await store.imports.keep("i1", 1, "a.csv", b"x")

    assert await store.imports.book("i1", "csv", [bought(1), bought(2), bought(3)], [euros(70)])
    assert not await store.imports.book("i1", "csv", [bought(4)])

    assert [t.description for t in await store.imports.transactions("i1")] == ["LIDL 2", "LIDL 3"]
    assert len(await store.transactions.recent(1)) == 3
    (run,) = await store.sync_runs.recent(1)
    assert (run.outcome, run.found, run.added, run.duplicates) == ("ok", 3, 2, 1)
    assert [entry.action for entry in await store.audit.of_user(1)] == ["statement.imported"]


async def test_what_nobody_keeps_cannot_be_booked(store, bought):
    """Without its file an import has no place where it is noted what it added."""
    with pytest.raises(UnknownImport):
        await store.imports.book("i1", "csv", [bought(1)])
    assert await store.transactions.recent(1) == []


async def test_an_import_is_taken_back_except_what_the_user_decided(store, bought):
    """What it added goes, what was there before stays, and what the user confirmed or corrected stays, too."""
    await store.transactions.add_many([bought(1)])
    await store.imports.keep("i1", 1, "a.csv", b"x")
    await store.imports.book("i1", "csv", [bought(number) for number in range(1, 6)])
    added = await store.imports.transactions("i1")
    for transaction, status in zip(added, ("auto", "pending", "confirmed", "corrected"), strict=True):
        await store.transactions.set_category(transaction.id, "Groceries", 0.9, status, "mapping")

    gone = await store.imports.undo("i1")

    assert gone == sorted([added[0].id, added[1].id])
    left = {t.description for t in await store.transactions.recent(1)}
    assert left == {"LIDL 1", "LIDL 4", "LIDL 5"}
    assert await store.imports.undo("i1") == []
    assert [run.outcome for run in await store.sync_runs.recent(1)] == ["error"]


async def test_balances_are_taken_back_as_well(store, bought):
    """A new one goes, one that was overwritten is as it was, and an account nobody knew before is unknown again."""
    await store.reports.add_snapshot(1, "", Money(Decimal(10), "EUR"), NOW)
    await store.imports.keep("i1", 1, "a.csv", b"x")
    dollars = KnownBalance("US", Money(Decimal(5), "USD"), NOW)
    later = euros(30)._replace(taken_at=NOW + timedelta(days=1))
    await store.imports.book("i1", "csv", [bought(1)], [euros(20), later, dollars])
    assert [str(money) for money in await store.reports.balance(1)] == ["30.00 EUR", "5.00 USD"]

    await store.imports.undo("i1")

    assert [str(money) for money in await store.reports.balance(1)] == ["10.00 EUR"]
    assert await wallets(store) == 1


async def test_files_that_nobody_finished_are_forgotten(store, bought):
    """The file and what was noted beside it go; what was stored stays."""
    await store.imports.keep("i1", 1, "a.csv", b"x")
    await store.imports.book("i1", "csv", [bought(1)])

    assert await store.imports.forget_before(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await store.imports.forget_before(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert await store.imports.transactions("i1") == []
    assert len(await store.transactions.recent(1)) == 1
