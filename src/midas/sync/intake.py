"""The parts of which every import consists: reading, storing, counting, putting in line for the AI."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botmetry.threads import run_in_thread
from midas.ai import TASK
from midas.domain.merchants import crypto_card_provider
from midas.errors import QueueUnavailable, StoreUnavailable
from midas.sync.statements import parse_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from botmetry import Telemetry
    from midas.domain.transactions import NewTransaction, Transaction
    from midas.queue import AITaskQueue
    from midas.store import Store
    from midas.sync.bookings import Statement

_IN_LINE_SECONDS: Final = 24 * 3600.0
"""How long an imported transaction may wait for a worker: nobody sits and waits for it, and tomorrow it still
counts."""

_AT_A_TIME: Final = 100
"""Tasks on their way to Redis at once: enough to hide the round trip, few enough to leave connections to others."""


@dataclass(frozen=True, slots=True)
class ReadStatement:
    """A file that was read without an error, as its user's transactions."""

    statement: Statement
    found: list[NewTransaction]


def categorization_id(transaction_id: int) -> str:
    """Give the id of the task that categorizes an imported transaction: whoever queues it again adds nothing."""
    return f"categorize-{transaction_id}"


async def read(user_id: int, name: str, data: bytes) -> ReadStatement:
    """Read a file in a thread: a large one takes seconds of computing, and there are other users.

    Raises:
        StatementError: The file is broken; carries line and reason.
    """
    return await run_in_thread(_read, user_id, name, data)


class Intake:
    """Stores what statements say, and has it categorized.

    Args:
        store: Where transactions last.
        queue: Takes the AI's work to the workers; None when there is none.
        telemetry: Where imports are counted.
    """

    def __init__(self, store: Store, queue: AITaskQueue | None, telemetry: Telemetry) -> None:
        self._store = store
        self._queue = queue
        self._telemetry = telemetry

    async def save(self, user_id: int, name: str, read: ReadStatement) -> list[Transaction]:
        """Store the transactions that are new, all or none, and give them.

        Raises:
            StoreUnavailable: PostgreSQL does not answer; nothing was stored.
        """
        statement, found = read.statement, read.found
        await self._store.users.ensure_known(user_id)
        run = await self._store.sync_runs.begin(user_id, statement.source, name)
        try:
            new = await self._store.transactions.add_many(found)
            for balance in statement.balances:
                await self._store.reports.add_snapshot(
                    user_id, balance.account, balance.money, balance.taken_at
                )
        except BaseException:
            with suppress(StoreUnavailable):
                await self._store.sync_runs.finish(run, "error", len(found))
            raise
        await self._store.sync_runs.finish(run, "ok", len(found), len(new), len(found) - len(new))
        details = {"file": name, "found": len(found), "new": len(new)}
        await self._store.audit.record(user_id, "statement.imported", "statement", run, details)
        return new

    def count(self, source: str, new: Sequence[Transaction]) -> None:
        """Count transactions that were stored."""
        if new:
            self._telemetry.transactions.synced(source, len(new))
        for transaction in new:
            provider = crypto_card_provider(transaction.description)
            if provider is not None:
                self._telemetry.transactions.crypto_card_detected(provider)

    async def enqueue(
        self,
        transactions: Sequence[Transaction],
        task_id: Callable[[Transaction], str] = lambda transaction: categorization_id(transaction.id),
        priority: int = 50,
    ) -> tuple[int, QueueUnavailable | None]:
        """Queue a task for each, as far as Redis answers; give their number, and what stopped it."""
        if self._queue is None:
            return 0, None
        queued = 0
        for start in range(0, len(transactions), _AT_A_TIME):
            batch = transactions[start : start + _AT_A_TIME]
            failures = await asyncio.gather(
                *(self._enqueue_one(self._queue, one, task_id(one), priority) for one in batch)
            )
            queued += failures.count(None)
            failure = next((failure for failure in failures if failure is not None), None)
            if failure is not None:
                return queued, failure
        return queued, None

    async def _enqueue_one(
        self, queue: AITaskQueue, transaction: Transaction, task_id: str, priority: int
    ) -> QueueUnavailable | None:
        payload = {
            "user_id": transaction.user_id,
            "transaction_id": transaction.id,
            "description": transaction.description,
            "amount": str(transaction.amount),
            "currency": transaction.currency,
        }
        try:
            await queue.enqueue_task(
                TASK, payload, priority=priority, max_wait=_IN_LINE_SECONDS, task_id=task_id
            )
        except QueueUnavailable as error:
            return error
        return None


def _read(user_id: int, name: str, data: bytes) -> ReadStatement:
    statement = parse_statement(name, data)
    return ReadStatement(statement, statement.for_user(user_id))
