"""The confirmations family: questions put to users, and how they ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from botmetry.telemetry.probes import Probes
from botmetry.telemetry.workshop import Workshop

__all__ = ["Confirmations"]


class Confirmations:
    """Answers of the AI that wait for a person."""

    def __init__(self, workshop: Workshop, probes: Probes) -> None:
        self._workshop = workshop
        self._probes = probes
        self._pending = workshop.gauge("confirmations_pending")
        self._total = workshop.counter("confirmations_total")
        self._wait = workshop.histogram("confirmation_wait_seconds")

    def resolved(self, outcome: str, waited_seconds: float | None = None) -> None:
        """Count a confirmation that ended: `confirmed`, `corrected`, `rejected` or `expired`."""
        self._total.labels(outcome).inc()
        if waited_seconds is not None:
            self._workshop.took(self._wait, waited_seconds)

    def watch(self, probe: Callable[[], Awaitable[int]]) -> None:
        """Ask `probe` before each scrape how many confirmations wait."""

        async def refresh() -> None:
            self._pending.set(await probe())

        self._probes.add("confirmations.watch", refresh, failed=lambda: self._pending.set(float("nan")))
