"""What the server needs to see of a telemetry object, and nothing more.

The server is written against these protocols instead of against `Telemetry`: the façade starts the server,
so the server does not import the façade.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

__all__ = ["Check", "Runtime", "Source", "SourceRegistry"]


class Check(Protocol):
    """One registered readiness check."""

    @property
    def probe(self) -> Callable[[], Awaitable[object] | object]:
        """Raise or return False when the thing is not ready; may be a coroutine function."""
        ...  # a protocol has no body

    @property
    def timeout(self) -> float:
        """Seconds after which the check counts as failed."""
        ...  # a protocol has no body


class SourceRegistry(Protocol):
    """The part of the metric registry that a scrape uses."""

    def render(self, *, openmetrics: bool = False, between: Callable[[], object] | None = None) -> bytes:
        """Return the whole exposition; called in a worker thread, and calls `between` again and again."""
        ...  # a protocol has no body


class Runtime(Protocol):
    """Where the server reports on the event loop it runs in."""

    def event_loop_lag(self, seconds: float) -> None:
        """Record how late a timer of the loop was called, in seconds."""
        ...  # a protocol has no body


class Source(Protocol):
    """A telemetry object, as the server sees it."""

    @property
    def service(self) -> str:
        """The observed program's name."""
        ...  # a protocol has no body

    @property
    def version(self) -> str:
        """The observed program's version; may be empty."""
        ...  # a protocol has no body

    @property
    def registry(self) -> SourceRegistry:
        """The metrics to expose."""
        ...  # a protocol has no body

    @property
    def checks(self) -> Mapping[str, Check]:
        """The readiness checks by name."""
        ...  # a protocol has no body

    @property
    def runtime(self) -> Runtime:
        """The runtime metric family."""
        ...  # a protocol has no body

    async def refresh(self) -> None:
        """Bring the metrics that are read at scrape time up to date."""
        ...  # a protocol has no body

    def internal_error(self, component: str, error: BaseException, /) -> None:
        """Count a failure of telemetry itself; log it once per place."""
        ...  # a protocol has no body
