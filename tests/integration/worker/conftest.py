"""What the worker's tests share: a queue on a real Redis, telemetry that can be read, waiting with a deadline."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

import pytest

from botmetry import LogSettings, Telemetry
from midas.domain.transactions import NewTransaction
from midas.queue import AITaskQueue
from midas.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from redis.asyncio import Redis

    from midas.store import Store

USER = 7


class Log:
    """The log of a process, line by line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[dict[str, Any]]:
        text = self.path.read_text() if self.path.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]  # whole ones

    def events(self, *names: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] in names]


@pytest.fixture(name="log")
def _log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log.jsonl")


@pytest.fixture(name="log_of")
def _log_of(tmp_path: Path) -> Callable[[str], Log]:
    return lambda name: Log(tmp_path / f"{name}.jsonl")


@pytest.fixture(name="telemetry")
def _telemetry(log: Log) -> Iterator[Telemetry]:
    telemetry = Telemetry(service="worker-test", log=LogSettings(output=str(log.path)))
    yield telemetry
    telemetry.close()


@pytest.fixture(name="queue")
async def _queue(redis: Redis, telemetry: Telemetry) -> AsyncIterator[AITaskQueue]:
    async with AITaskQueue(redis, telemetry=telemetry) as queue:
        yield queue


@pytest.fixture(name="until")
def _until() -> Callable[..., Any]:
    """Wait until a condition, plain or async, holds; a deadline makes it an error."""

    async def wait(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        async with asyncio.timeout(seconds):
            while True:
                value = condition()
                value = await value if isawaitable(value) else value
                if value:
                    return value
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture(name="store")
async def _store(postgres_url: str) -> AsyncIterator[Store]:
    async with open_store(postgres_url) as store:
        yield store


@pytest.fixture(name="booked")
def _booked(store: Store) -> Callable[..., Any]:
    """Store payments of user 7 at a merchant that nobody knows, and give them."""

    async def book(
        count: int, merchant: str = "ZORBLAX", days_ago: int = 1, amount: str = "-12.50"
    ) -> list[Any]:
        await store.users.ensure(USER, "Ada", USER)
        now = datetime.now(UTC)
        return await store.transactions.add_many(
            [
                NewTransaction(
                    user_id=USER,
                    source="csv",
                    external_id=f"{merchant}-{days_ago}-{number}",
                    occurred_at=now - timedelta(days=days_ago, minutes=number),
                    amount=Decimal(amount),
                    currency="EUR",
                    description=f"{merchant} {number}",
                    merchant=merchant,
                )
                for number in range(count)
            ]
        )

    return book


@pytest.fixture(name="categorizing")
def _categorizing(queue: AITaskQueue) -> Callable[..., Any]:
    """Queue the categorization of a payment."""

    async def enqueue(transaction: Any, **options: Any) -> str:
        payload = {
            "user_id": transaction.user_id,
            "transaction_id": transaction.id,
            "description": transaction.description,
            "amount": str(transaction.amount),
        }
        return await queue.enqueue_task("categorize_transaction", payload, **options)

    return enqueue
