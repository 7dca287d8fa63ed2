"""An open store on a fresh database, and transactions to put into it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import pytest_asyncio

from midas.domain import NewTransaction
from midas.store import open_store

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture(name="store")
async def _store(postgres_url):
    async with open_store(postgres_url) as store:
        await store.users.ensure(1, "Ada", 1)
        await store.users.ensure(2, "Bob", 2)
        yield store


@pytest.fixture(name="bought")
def _bought():
    """Make the transaction with a number, on the day of that number of 2026, 10 euros spent at LIDL unless told."""

    def bought(number, amount="-10.00", **changes):
        values = {
            "user_id": 1,
            "source": "csv",
            "external_id": f"id-{number}",
            "occurred_at": START + timedelta(days=number),
            "amount": Decimal(amount),
            "currency": "EUR",
            "description": f"LIDL {number}",
            "merchant": "LIDL",
            **changes,
        }
        return NewTransaction(**values)

    return bought
