"""The transactions family: what was imported, and how it was filed."""

from __future__ import annotations

from botmetry.instrument import Description, Instrument
from botmetry.telemetry.workshop import Kept, Workshop

__all__ = ["Transactions"]


class Transactions:
    """Transactions on their way from a statement to a category."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._synced = workshop.counter("transactions_synced_total")
        self._categorized = workshop.counter("transactions_categorized_total")
        self._crypto = workshop.counter("transactions_crypto_card_detected_total")
        self._seconds = workshop.histogram("transactions_sync_duration_seconds")
        self._syncs: Kept[str] = Kept()

    def synced(self, source: str, count: int = 1) -> None:
        """Count new transactions from a source such as `csv` or `ofx`."""
        self._workshop.add(self._synced, count, source)

    def categorized(self, category: str, method: str) -> None:
        """Count a transaction that got a category by `mapping`, `fuzzy`, `llm` or `user`."""
        self._categorized.labels(category, method).inc()

    def crypto_card_detected(self, provider: str) -> None:
        """Count a payment recognised as one by a crypto card."""
        self._crypto.labels(provider).inc()

    def sync(self, source: str) -> Instrument:
        """Time, log and trace one import."""
        return self._syncs.get_or_make(source, lambda: self._make_sync(source))

    def _make_sync(self, source: str) -> Instrument:
        described = Description(
            "transactions.synced", f"transactions.sync {source}", "internal", {"source": source}
        )
        return self._workshop.instrument(described, self._seconds, source)
