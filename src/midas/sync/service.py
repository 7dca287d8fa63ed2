"""Imports statements and has their transactions categorized."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from midas.ai import TASK, Prediction
from midas.domain.categories import OTHER, UNCATEGORIZED
from midas.errors import LanguageModelError, QueueUnavailable, StatementError
from midas.sync.decisions import AUTO_CONFIRM_THRESHOLD, Applied, Decisions
from midas.sync.intake import Intake, categorization_id, read
from midas.sync.statements import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from botmetry import Telemetry
    from midas.ai import Categorizer
    from midas.confirmations import ConfirmationService
    from midas.queue import AITaskQueue
    from midas.store import Store
    from midas.sync.imports import StatementImports
    from midas.sync.intake import ReadStatement

AI_SECONDS: Final = 28.0
"""Longer than a language model may take, shorter than the 30 seconds of a task: who is too slow falls back in
time."""

_TAKEN_UP_AFTER: Final = timedelta(minutes=2)
"""Longer than an import needs to queue what it has stored."""
_TAKEN_UP_FOR: Final = timedelta(days=1)
"""What the AI could not do in a day is left to the user's /categorize."""

_ASKED_AGAIN_SECONDS: Final = 60
"""Within this time, asking twice for the same transaction queues it once."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a statement."""

    found: int
    """Bookings in the file."""
    new: int
    """Of these, transactions that were not stored before."""
    duplicates: int
    """Of these, transactions that were."""
    queued: int
    """New transactions on their way to the AI; fewer than `new` when Redis was away, 0 without a queue."""
    source: str
    """``csv`` or ``ofx``."""
    told: bool = False
    """Whether a notice tells the user, so that nobody else need."""


class SyncService(Decisions):
    """The way of a transaction from a file to a category.

    Args:
        store: Where transactions last.
        queue: Takes the AI's work to the workers; None when there is none.
        categorizer: Predicts, in this process where there is no queue.
        confirmations: Asks the user.
        telemetry: Where imports and outcomes are counted; None for nowhere.
        imports: Runs imports as sagas; None imports without.
        use_async_ai: Whether the queue is used; without it, categorizing waits for the AI.
        auto_confirm_threshold: Confidence in 0..1 from which on a category is kept without asking.
        ai_seconds: How long one prediction may take.
        clock: Seconds since 1970, for tests.
    """

    def __init__(
        self,
        store: Store,
        queue: AITaskQueue | None,
        categorizer: Categorizer,
        confirmations: ConfirmationService,
        telemetry: Telemetry | None = None,
        *,
        imports: StatementImports | None = None,
        use_async_ai: bool = True,
        auto_confirm_threshold: float = AUTO_CONFIRM_THRESHOLD,
        ai_seconds: float = AI_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(store, confirmations, telemetry, auto_confirm_threshold=auto_confirm_threshold)
        self._queue = queue if use_async_ai else None
        self._imports = imports
        self._intake = Intake(store, self._queue, self._telemetry)
        self._categorizer = categorizer
        self._ai_seconds = ai_seconds
        self._clock = clock

    async def import_statement(
        self, user_id: int, name: str, data: bytes, chat_id: int | None = None
    ) -> ImportReport:
        """Store the transactions of a statement, and queue the new ones for the AI.

        All or nothing: of a broken file nothing is stored, and what was stored before stays. The same or an
        overlapping file again adds only what is new. With sagas, another process finishes what this one cannot. Redis
        may be away: then the transactions are stored without a saga, and ``take_up`` queues them later.

        Args:
            user_id: Whose transactions they are.
            name: The file's name, for messages.
            data: The file.
            chat_id: Whom a notice shall tell about the end, whichever process brings it about; None for nobody.

        Raises:
            StatementError: The file is broken; carries line and reason.
            StoreUnavailable: PostgreSQL does not answer; nothing was stored.
            ImportFailed: Something failed for good; what was stored was taken back, or somebody has to look after it.
        """
        with self._telemetry.transactions.sync(kind_of(data)) as operation:
            operation.set(user_id=user_id)
            try:
                statement = await read(user_id, name, data)
            except StatementError as error:
                # An outcome, and no failure of ours: no traceback, and nothing of what the file says.
                operation.outcome = "error"
                operation.set(error_type="StatementError", line=error.line)
                refused = error
            else:
                report = await self._bring_in(user_id, name, data, statement, chat_id)
                operation.set(found=report.found, new=report.new)
                return report
        raise refused

    async def categorize_pending(self, user_id: int, limit: int = 100) -> int:
        """Have the open transactions of a user categorized, the latest first, and give how many.

        With a queue they are on their way then; without one they are done.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
            QueueUnavailable: Redis does not answer.
        """
        await self.reopen(user_id)
        open_ones = await self._store.transactions.uncategorized(user_id, limit)
        if self._queue is not None:
            minute = int(self._clock() // _ASKED_AGAIN_SECONDS)
            queued, failure = await self._intake.enqueue(
                open_ones, lambda transaction: f"{categorization_id(transaction.id)}-{minute}", priority=75
            )
            if failure is not None:
                raise failure
            return queued
        for open_one in open_ones:
            await self.categorize(
                user_id, open_one.id, open_one.description, open_one.amount, open_one.currency
            )
        return len(open_ones)

    async def take_up(self, limit: int = 200) -> int:
        """Queue what was stored lately and is not on its way to the AI, and give how many were looked at.

        An import while Redis was away leaves such transactions. One that is on its way is not queued twice, because
        its task has the same id. Without a queue nothing is done.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
            QueueUnavailable: Redis does not answer.
        """
        if self._queue is None:
            return 0
        now = datetime.fromtimestamp(self._clock(), UTC)
        left = await self._store.transactions.left_open(now - _TAKEN_UP_FOR, now - _TAKEN_UP_AFTER, limit)
        _, failure = await self._intake.enqueue(left)
        if failure is not None:
            raise failure
        return len(left)

    async def categorize(
        self, user_id: int, transaction_id: int, description: str, amount: Decimal, currency: str = "EUR"
    ) -> Applied:
        """Predict the category of a transaction here and now, and apply it; the work of a worker's task.

        An AI that is down gives ``Other`` with confidence 0, one that is too slow ``Uncategorized``: neither fails.

        Raises:
            UnknownTransaction: The user has no such transaction.
            StoreUnavailable: PostgreSQL does not answer.
            QueueUnavailable: Redis does not answer, so nobody can be asked; call again.
        """
        prediction = await self._predict(user_id, description, amount, currency)
        return await self.apply(user_id, transaction_id, prediction)

    async def _predict(self, user_id: int, description: str, amount: Decimal, currency: str) -> Prediction:
        try:
            async with asyncio.timeout(self._ai_seconds):
                return await self._categorizer.categorize(user_id, description, amount, currency)
        except TimeoutError:
            self._telemetry.ai.fallback(TASK, "timeout")
            return Prediction(UNCATEGORIZED, 0.0, "none", f"no answer within {self._ai_seconds:g} seconds")
        except LanguageModelError as error:
            self._telemetry.ai.fallback(TASK, "unavailable")
            return Prediction(OTHER, 0.0, "none", str(error))

    async def _bring_in(
        self, user_id: int, name: str, data: bytes, read: ReadStatement, chat_id: int | None
    ) -> ImportReport:
        source, found = read.statement.source, len(read.found)
        if self._imports is not None:
            try:
                became = await self._imports.run(user_id, name, data, read, chat_id)
            except QueueUnavailable as error:
                self._telemetry.log.warning("sync.imported_without_saga", message=str(error))
            else:
                told = chat_id is not None
                return ImportReport(found, became.new, found - became.new, became.queued, source, told)
        new = await self._intake.save(user_id, name, read)
        self._intake.count(source, new)
        queued, _ = await self._intake.enqueue(new)
        return ImportReport(found, len(new), found - len(new), queued, source)
