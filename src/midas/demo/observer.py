"""Looks at the running demo from outside, as Prometheus and the users do, and makes its figures."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from midas.demo.figures import Answers, Figures, History
from midas.demo.samples import Ledger, Reading
from midas.demo.usage import Meter, Usage

__all__ = ["Observer"]

_PATIENCE = aiohttp.ClientTimeout(total=2.0)  # who does not answer in time is left out of one reading
_USAGE_SECONDS = 5.0  # summing up memory costs a millisecond a process


class Observer:
    """Reads figures on demand.

    Args:
        http: For all reading.
        metrics: Address of ``/metrics`` by the name of the process.
        control_url: Of the local internet, None without one.
        prometheus_url: None without Prometheus.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        metrics: Mapping[str, str],
        control_url: str | None,
        prometheus_url: str | None,
    ) -> None:
        self.meter = Meter()
        self._http = http
        self._metrics = metrics
        self._control_url = control_url
        self._prometheus_url = prometheus_url
        self._ledger = Ledger()
        self._history = History(Reading(time.monotonic(), {}, {}))
        self._usage = self.meter.read()
        self._usage_at = time.monotonic()

    async def begin(self) -> None:
        """Start counting: what happened before belongs to the start."""
        self.meter.restart()
        self._history = History(await self._read())

    async def live(self) -> Figures:
        """Return the figures of the last seconds."""
        return await self._look(whole=False)

    async def whole(self) -> Figures:
        """Return the figures of everything since `begin`."""
        self._usage_at = 0.0
        return await self._look(whole=True)

    async def _look(self, *, whole: bool) -> Figures:
        reading, alerts, stats = await asyncio.gather(self._read(), self._alerts(), self._stats())
        self._history.add(reading)
        return Figures(
            work=self._history.whole() if whole else self._history.live(),
            answers=_answers(stats, "answers"),
            answers_since_switch=_answers(stats, "since_switch"),
            usage=self._measure(),
            alerts=None if alerts is None else _named(alerts, "firing"),
            pending=_named(alerts or {}, "pending"),
        )

    def _measure(self) -> Usage:
        now = time.monotonic()
        if now - self._usage_at >= _USAGE_SECONDS:
            self._usage = self.meter.read()
            self._usage_at = now
        return self._usage

    async def _read(self) -> Reading:
        texts = await asyncio.gather(*(self._text(url) for url in self._metrics.values()))
        expositions = {
            name: text for name, text in zip(self._metrics, texts, strict=True) if text is not None
        }
        return self._ledger.read(time.monotonic(), expositions)

    async def _text(self, url: str) -> str | None:
        try:
            async with self._http.get(url, timeout=_PATIENCE) as response:
                return await response.text() if response.ok else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def _stats(self) -> Mapping[str, Any]:
        answer = await self._json(f"{self._control_url}/stats") if self._control_url else None
        return answer if answer is not None else {}

    async def _alerts(self) -> Mapping[str, str] | None:
        """Return each alert's state, ``firing`` where any of it fires; the Watchdog, which always does, is none."""
        answer = await self._json(f"{self._prometheus_url}/api/v1/alerts") if self._prometheus_url else None
        if answer is None:
            return None
        entries = sorted(answer["data"]["alerts"], key=lambda entry: entry["state"] == "firing")
        states = {entry["labels"]["alertname"]: entry["state"] for entry in entries}
        states.pop("Watchdog", None)
        return states

    async def _json(self, url: str) -> dict[str, Any] | None:
        try:
            async with self._http.get(url, timeout=_PATIENCE) as response:
                answer: dict[str, Any] | None = await response.json() if response.ok else None
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        return answer


def _named(alerts: Mapping[str, str], state: str) -> tuple[str, ...]:
    return tuple(sorted(name for name, its in alerts.items() if its == state))


def _answers(stats: Mapping[str, Any], period: str) -> Answers:
    known = stats.get(period, {})
    return Answers(known.get("count", 0), known.get("p50"), known.get("p99"), known.get("unanswered", 0))
