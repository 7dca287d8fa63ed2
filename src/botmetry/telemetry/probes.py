"""Values that are asked for at scrape time: queue sizes, pending confirmations, pool connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Final, TypeAlias

__all__ = ["Probes", "Refresh"]

DEFAULT_TIMEOUT_SECONDS: Final = 1.0
"""A scrape waits no longer for one probe: Prometheus gives up after 10 s by default, users' stores answer in 1 ms."""

Refresh: TypeAlias = Callable[[], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class _Probe:
    name: str
    refresh: Refresh
    timeout: float
    failed: Callable[[], None] | None


class Probes:
    """The probes of one `Telemetry`, by name or another key."""

    def __init__(self, failed: Callable[[str, BaseException], None]) -> None:
        self._failed = failed
        self._probes: dict[Hashable, _Probe] = {}

    def add(
        self,
        name: str,
        refresh: Refresh,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        failed: Callable[[], None] | None = None,
        key: Hashable | None = None,
    ) -> None:
        """Run `refresh` before each scrape; a second one of the same name replaces the first.

        Args:
            name: The component a failure is counted under.
            refresh: Sets gauges; plain or async.
            timeout: Seconds it may take.
            failed: Called after a failure, to take away what is no longer known.
            key: What is replaced by another one of the same key, where that is not the name.
        """
        self._probes[name if key is None else key] = _Probe(name, refresh, timeout, failed)

    def remove(self, name: str, refresh: Refresh) -> None:
        """Run `refresh` no more, unless another one has taken its name."""
        if name in self._probes and self._probes[name].refresh is refresh:
            del self._probes[name]

    async def run(self) -> None:
        """Run all probes side by side. A failing one is counted, and hinders no other."""
        import asyncio  # noqa: PLC0415 - whoever awaits this has imported it; a program without a loop need not

        await asyncio.gather(*map(self._run_one, tuple(self._probes.values())))

    async def _run_one(self, probe: _Probe) -> None:
        from asyncio import CancelledError, current_task, timeout  # noqa: PLC0415 - as above

        try:
            async with timeout(probe.timeout):
                result = probe.refresh()
                if isawaitable(result):
                    await result
        except (Exception, CancelledError) as error:
            task = current_task()
            if isinstance(error, CancelledError) and (task is None or task.cancelling()):
                raise  # it is the scrape that was cancelled, and not what the probe has waited for
            self._failed(probe.name, error)
            if probe.failed is not None:
                probe.failed()
