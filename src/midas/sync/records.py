"""What is written down about a decision: taught, counted, logged, audited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midas.ai import TASK
from midas.domain.merchants import UNKNOWN

if TYPE_CHECKING:
    from botmetry import Telemetry
    from midas.ai import Prediction
    from midas.confirmations import Confirmation
    from midas.domain.transactions import Transaction
    from midas.store import Store
    from midas.store.decisions import Outcome


class Records:
    """Writes down what was decided, for the next prediction, for the dashboards and for whoever asks why."""

    def __init__(self, store: Store, telemetry: Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry

    async def predicted(self, transaction: Transaction, prediction: Prediction) -> None:
        """A prediction was applied: kept, put to the user, or no answer at all."""
        if transaction.status != "uncategorized":
            self._telemetry.ai.confirmation(TASK, "auto" if transaction.status == "auto" else "manual")
            self._telemetry.transactions.categorized(prediction.category, prediction.method)
        self._telemetry.log.log_ai_categorization(
            prediction.category,
            prediction.confidence,
            prediction.method,
            transaction_id=transaction.id,
            user_id=transaction.user_id,
            model=prediction.model,
            status=transaction.status,
        )
        await self._audit(
            transaction,
            "category.predicted",
            {
                "confidence": prediction.confidence,
                "method": prediction.method,
                "evidence": prediction.evidence,
            },
        )

    async def decided(self, before: Transaction, after: Transaction, *, by: str) -> None:
        """A user decided: it is taught, and counted as a correction where the category changed.

        Args:
            before: The transaction as it was predicted.
            after: The transaction as the user wants it.
            by: The confirmation's id, or ``user`` where nobody had asked.
        """
        if after.merchant != UNKNOWN:
            await self._store.merchants.teach(after.user_id, after.merchant, after.category or "")
        if after.status == "corrected":
            self._telemetry.ai.correction(TASK)
            self._telemetry.log.log_ai_correction(
                before.category or "", after.category or "", transaction_id=after.id, user_id=after.user_id
            )
        self._telemetry.transactions.categorized(after.category or "", "user")
        await self._audit(after, f"category.{after.status}", {"before": before.category, "by": by})

    async def ended(self, confirmation: Confirmation, before: Transaction, outcome: Outcome) -> None:
        """A question ended, with an answer or without: kept to judge the confidences by."""
        await self._store.decisions.record(
            confirmation.user_id,
            confirmation.transaction_id,
            predicted=confirmation.predicted,
            decided=confirmation.category,
            confidence=confirmation.confidence,
            method=before.method,
            outcome=outcome,
        )

    async def _audit(self, transaction: Transaction, action: str, details: dict[str, object]) -> None:
        await self._store.audit.record(
            transaction.user_id,
            action,
            "transaction",
            transaction.id,
            {"category": transaction.category, "status": transaction.status, **details},
        )
