"""What becomes of a prediction: kept at once, put to the user, confirmed, corrected, or forgotten.

Redis decides who decides (``midas.confirmations``: one answer wins), PostgreSQL remembers what was decided. A
process that dies between the two leaves a transaction that waits for a question nobody asks any more; ``reopen``
finds those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from botmetry import LogSettings, Telemetry
from midas.domain.categories import OTHER, UNCATEGORIZED
from midas.domain.categories import find as find_category
from midas.domain.transactions import Status
from midas.errors import UnknownTransaction
from midas.sync.records import Records

if TYPE_CHECKING:
    from midas.ai import Prediction
    from midas.confirmations import Confirmation, ConfirmationService
    from midas.domain.transactions import Transaction
    from midas.store import Store

_OPEN: Final[tuple[Status, ...]] = ("uncategorized",)
_ASKED: Final[tuple[Status, ...]] = ("pending",)

AUTO_CONFIRM_THRESHOLD: Final = 0.85
"""Confidence in 0..1 from which on nobody is asked: of such answers one in seven at most should be wrong."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done with a prediction."""

    transaction: Transaction
    """As it is now."""
    confirmation: Confirmation | None = None
    """The question that waits for the user, if there is one."""


class Decisions:
    """Turns predictions and users' answers into categories that last.

    Args:
        store: Where they last.
        confirmations: Who asks the user.
        telemetry: Where outcomes are counted; None for nowhere.
        auto_confirm_threshold: Confidence in 0..1 from which on a category is kept without asking.
    """

    def __init__(
        self,
        store: Store,
        confirmations: ConfirmationService,
        telemetry: Telemetry | None = None,
        *,
        auto_confirm_threshold: float = AUTO_CONFIRM_THRESHOLD,
    ) -> None:
        self._store = store
        self._confirmations = confirmations
        self._telemetry = telemetry or Telemetry(service="midas", log=LogSettings(output="none"))
        self._records = Records(store, self._telemetry)
        self._threshold = auto_confirm_threshold

    async def apply(self, user_id: int, transaction_id: int, prediction: Prediction) -> Applied:
        """Keep a prediction that is sure enough, put any other to the user; may be repeated.

        ``Uncategorized`` is no answer: the transaction stays open and is tried again another time. What a user or
        an earlier prediction decided is left alone.

        Raises:
            UnknownTransaction: The user has no such transaction.
            StoreUnavailable: PostgreSQL does not answer.
            QueueUnavailable: Redis does not answer, so nobody can be asked; call again.
        """
        transaction = await self._of(user_id, transaction_id)
        if transaction.status == "pending":
            return Applied(transaction, await self._ask(transaction))
        if transaction.status != "uncategorized":
            return Applied(transaction)
        status = self._status_for(prediction)
        changed = await self._store.transactions.set_category(
            transaction_id,
            prediction.category,
            prediction.confidence,
            status,
            prediction.method,
            expected=_OPEN,
        )
        if changed is None:
            # Somebody was faster; what is there now is the answer.
            return Applied(await self._of(user_id, transaction_id))
        await self._records.predicted(changed, prediction)
        return Applied(changed, await self._ask(changed) if status == "pending" else None)

    async def confirm(self, user_id: int, confirmation_id: str) -> Transaction:
        """The user says that the predicted category is right.

        Raises:
            ConfirmationError: It cannot be decided (any more): see ``ConfirmationService.confirm``.
            StoreUnavailable: PostgreSQL does not answer.
            QueueUnavailable: Redis does not answer.
        """
        confirmation = await self._confirmations.confirm(confirmation_id, user_id)
        return await self._settle(confirmation, confirmation.predicted)

    async def correct(self, user_id: int, confirmation_id: str, category: str) -> Transaction:
        """The user says which category is right; it is taught. Naming the predicted one confirms it.

        Raises:
            UnknownCategory: There is no such category; carries a suggestion.
            ConfirmationError: It cannot be decided (any more): see ``ConfirmationService.correct``.
            StoreUnavailable: PostgreSQL does not answer.
            QueueUnavailable: Redis does not answer.
        """
        chosen = find_category(category)
        confirmation = await self._confirmations.correct(confirmation_id, user_id, chosen)
        return await self._settle(confirmation, chosen)

    async def reject(self, user_id: int, confirmation_id: str) -> Transaction:
        """The user wants no category: it becomes ``Other``, and nothing is taught.

        Raises:
            ConfirmationError: It cannot be decided (any more): see ``ConfirmationService.reject``.
            StoreUnavailable: PostgreSQL does not answer.
            QueueUnavailable: Redis does not answer.
        """
        confirmation = await self._confirmations.reject(confirmation_id, user_id)
        before = await self._of(user_id, confirmation.transaction_id)
        changed = await self._decide(before, OTHER, "corrected")
        await self._records.ended(confirmation, before, "rejected")
        return changed

    async def correct_transaction(self, user_id: int, transaction_id: int, category: str) -> Transaction:
        """The user files a transaction anew, whatever was decided before; it is taught.

        Raises:
            UnknownCategory: There is no such category; carries a suggestion.
            UnknownTransaction: The user has no such transaction.
            StoreUnavailable: PostgreSQL does not answer.
        """
        chosen = find_category(category)
        before = await self._of(user_id, transaction_id)
        is_correction = before.category not in {chosen, None, UNCATEGORIZED}
        changed = await self._decide(before, chosen, "corrected" if is_correction else "confirmed")
        await self._records.decided(before, changed, by="user")
        return changed

    async def expire_due(self) -> list[Confirmation]:
        """Take back the questions that nobody answered in time; their transactions are open again.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
            QueueUnavailable: Redis does not answer.
        """
        expired = await self._confirmations.expire_due()
        for confirmation in expired:
            before = await self._store.transactions.get(confirmation.transaction_id)
            if before is None:
                continue
            await self._open_again(before)
            await self._records.ended(confirmation, before, "expired")
        return expired

    async def reopen(self, user_id: int) -> int:
        """Open transactions that wait for a question nobody asks any more, and give their number.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
            QueueUnavailable: Redis does not answer.
        """
        waiting = await self._store.transactions.pending(user_id)
        # A question that comes up between the two looks is lost sight of; whoever answers it is heard all the same.
        asked = {confirmation.transaction_id for confirmation in await self._confirmations.pending(user_id)}
        lost = [transaction for transaction in waiting if transaction.id not in asked]
        for transaction in lost:
            await self._open_again(transaction)
        return len(lost)

    async def _settle(self, confirmation: Confirmation, category: str) -> Transaction:
        before = await self._of(confirmation.user_id, confirmation.transaction_id)
        status: Literal["confirmed", "corrected"]
        status = "confirmed" if category == confirmation.predicted else "corrected"
        changed = await self._decide(before, category, status)
        await self._records.decided(before, changed, by=confirmation.id)
        await self._records.ended(confirmation, before, status)
        return changed

    async def _decide(self, before: Transaction, category: str, status: Status) -> Transaction:
        changed = await self._store.transactions.set_category(before.id, category, 1.0, status, "user")
        if changed is None:
            raise UnknownTransaction(before.id)
        return changed

    async def _ask(self, transaction: Transaction) -> Confirmation:
        """Put the predicted category to the user; if that was done before, the same question is given."""
        return await self._confirmations.create(
            transaction.user_id,
            transaction.id,
            transaction.category or OTHER,
            transaction.confidence or 0.0,
            transaction.description,
        )

    async def _open_again(self, transaction: Transaction) -> None:
        await self._store.transactions.set_category(
            transaction.id,
            transaction.category or UNCATEGORIZED,
            transaction.confidence or 0.0,
            "uncategorized",
            transaction.method,
            expected=_ASKED,
        )

    async def _of(self, user_id: int, transaction_id: int) -> Transaction:
        transaction = await self._store.transactions.get(transaction_id)
        if transaction is None or transaction.user_id != user_id:
            raise UnknownTransaction(transaction_id)
        return transaction

    def _status_for(self, prediction: Prediction) -> Status:
        if prediction.category == UNCATEGORIZED:
            return "uncategorized"
        return "auto" if prediction.confidence >= self._threshold else "pending"
