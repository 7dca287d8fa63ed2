"""The messages that come later: how a categorization ended, and what an analysis found."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from midas.bot.texts import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midas.bot.watches import Watch
    from midas.store import Store


class Newsroom:
    """Writes what is told when a promise is kept."""

    def __init__(self, store: Store) -> None:
        """Ask `store` what became of transactions: the tasks' results may have expired, and users decide meanwhile."""
        self._store = store

    async def write(self, watch: Watch, results: Sequence[dict[str, Any]]) -> str:
        """Return the message for a promise whose tasks have ended.

        Args:
            watch: What was promised.
            results: Of the tasks that ended well.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
        """
        return await self._categorization(watch)

    async def _categorization(self, watch: Watch) -> str:
        transactions = await self._store.transactions.get_many(watch.transaction_ids)
        by_status = Counter(transaction.status for transaction in transactions)
        waiting, open_ones = by_status["pending"], by_status["uncategorized"]
        filed = len(transactions) - waiting - open_ones
        lines = [f"🗂 Categorization of {counted(len(transactions), 'payment')} finished: {filed} filed."]
        if waiting:
            lines.append(
                f"{counted(waiting, 'payment')} {'waits' if waiting == 1 else 'wait'} for you: /pending"
            )
        if open_ones:
            lines.append(
                f"{counted(open_ones, 'payment')} could not be sorted this time: /categorize tries again."
            )
        return "\n".join(lines)
