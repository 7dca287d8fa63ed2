"""Whether the observed program can do its work, asked of all registered checks at once.

The whole answer takes as long as the slowest check, and no check longer than its own timeout.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from botmetry.server.shared_work import SharedWork
from botmetry.server.source import Check, Source
from botmetry.threads import run_in_thread

__all__ = ["CheckResult", "Readiness", "Report"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check went.

    Attributes:
        ok: Whether it passed.
        error: What it raised, with secrets removed; None when it passed.
        duration_seconds: How long it took.
    """

    ok: bool
    error: str | None
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """The results of all checks by name; ready when every one passed, also when there is none."""

    checks: Mapping[str, CheckResult]

    @property
    def ready(self) -> bool:
        """Whether every check passed."""
        return all(result.ok for result in self.checks.values())

    def as_json(self) -> dict[str, Any]:
        """Return the body of `/readyz`."""
        return {
            "status": "ready" if self.ready else "not ready",
            "checks": {name: asdict(result) for name, result in self.checks.items()},
        }


class Readiness:
    """Runs the checks; simultaneous questions share one run, so that probes cannot pile up on a slow database."""

    def __init__(self, source: Source, redact: Callable[[str], str]) -> None:
        self._source = source
        self._redact = redact
        self._runs: SharedWork[None, Report] = SharedWork()
        self._blocking: SharedWork[str, object] = SharedWork()

    async def report(self) -> Report:
        """Run all checks concurrently and return their results."""
        return await self._runs.run(None, self._run)

    async def aclose(self, seconds: float) -> None:
        """Wait at most `seconds` for the run under way. Idempotent."""
        await self._runs.aclose(seconds)
        await self._blocking.aclose(0.0)

    async def _run(self) -> Report:
        checks = dict(self._source.checks)
        results = await asyncio.gather(*(self._result(name, check) for name, check in checks.items()))
        return Report(dict(zip(checks, results, strict=True)))

    async def _result(self, name: str, check: Check) -> CheckResult:
        started = time.perf_counter()
        error: str | None = None
        deadline = asyncio.timeout(check.timeout)
        try:
            async with deadline:
                if await self._call(name, check) is False:
                    error = "returned False"
        except Exception as failure:  # noqa: BLE001 -- raising anything is how a check says no
            late = deadline.expired()
            error = f"no answer within {check.timeout:g} s" if late else self._redact(_described(failure))
        except asyncio.CancelledError as failure:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            error = _described(failure)  # it is not we who were cancelled, but what the check has waited for
        return CheckResult(error is None, error, round(time.perf_counter() - started, 6))

    async def _call(self, name: str, check: Check) -> object:
        """Return the check's answer: a coroutine function is called here, a plain one in a thread, as it may block.

        A thread cannot be cancelled. A blocking check that hangs is waited for again by the next probe, so that
        it costs one thread, not one a probe.
        """
        if inspect.iscoroutinefunction(check.probe):
            return await check.probe()
        outcome = await self._blocking.run(name, lambda: run_in_thread(check.probe))
        return await outcome if inspect.isawaitable(outcome) else outcome


def _described(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
