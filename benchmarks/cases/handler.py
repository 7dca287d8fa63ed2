"""An async handler with duration, outcome and in-progress, the way each library is used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from cases.events import written

CALLS = 60_000


def _cost(handler: Callable[[], Awaitable[object]], finish: Callable[[], object] = lambda: None) -> float:
    async def main() -> float:
        for _ in range(2_000):
            await handler()
        start = perf_counter()
        for _ in range(CALLS):
            await handler()
        finish()
        return (perf_counter() - start) / CALLS * 1e6

    return asyncio.run(main())


async def _work() -> int:
    return 1


def botmetry() -> float:
    """`@telemetry.bot.command`, nobody reading events."""
    from botmetry import LogSettings, Telemetry

    telemetry = Telemetry("bench", log=LogSettings(output="none"))
    return _cost(telemetry.bot.command("balance")(_work))


def botmetry_event() -> float:
    """The same with one JSON event written for each call, redacted and with context."""
    from botmetry import LogSettings, Telemetry

    telemetry = Telemetry("bench", log=LogSettings(output="/dev/null"))
    with telemetry.context(user_id=7, chat="private"):
        return _cost(telemetry.bot.command("balance")(_work), written(telemetry))


def botmetry_unsampled() -> float:
    """With an OpenTelemetry provider that samples nothing."""
    from botmetry import LogSettings, Telemetry

    telemetry = Telemetry("bench", log=LogSettings(output="none"), tracer_provider=_sampling_nothing())
    return _cost(telemetry.bot.command("balance")(_work))


def opentelemetry_unsampled() -> float:
    """A span of the SDK alone, not sampled."""
    tracer = _sampling_nothing().get_tracer("bench")

    async def handler() -> int:
        with tracer.start_as_current_span("balance"):
            return await _work()

    return _cost(handler)


def _sampling_nothing():
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    return TracerProvider(sampler=ALWAYS_OFF)


def prometheus_async() -> float:
    """Its three decorators."""
    from prometheus_async.aio import count_exceptions, time, track_inprogress
    from prometheus_client import Counter, Gauge, Histogram

    handler = time(Histogram("d_seconds", "d"))(
        count_exceptions(Counter("e", "e"))(track_inprogress(Gauge("g", "g"))(_work))
    )
    return _cost(handler)


def client_bound() -> float:
    """prometheus_client by hand, children bound before."""
    from prometheus_client import Counter, Gauge, Histogram

    seconds = Histogram("d_seconds", "d", ["command"]).labels("balance")
    ok = Counter("r", "r", ["command", "outcome"]).labels("balance", "ok")
    under_way = Gauge("g", "g", ["command"]).labels("balance")

    async def handler() -> int:
        under_way.inc()
        start = perf_counter()
        try:
            result = await _work()
            ok.inc()
            return result
        finally:
            seconds.observe(perf_counter() - start)
            under_way.dec()

    return _cost(handler)


def client_labels() -> float:
    """prometheus_client by hand, `labels()` in each call."""
    from prometheus_client import Counter, Gauge, Histogram

    seconds = Histogram("d_seconds", "d", ["command"])
    requests = Counter("r", "r", ["command", "outcome"])
    under_way = Gauge("g", "g", ["command"])

    async def handler() -> int:
        under_way.labels("balance").inc()
        start = perf_counter()
        try:
            result = await _work()
            requests.labels("balance", "ok").inc()
            return result
        finally:
            seconds.labels("balance").observe(perf_counter() - start)
            under_way.labels("balance").dec()

    return _cost(handler)


def opentelemetry() -> float:
    """The SDK's counter and histogram."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    meter = MeterProvider([InMemoryMetricReader()]).get_meter("bench")
    requests, seconds = meter.create_counter("requests"), meter.create_histogram("seconds")

    async def handler() -> int:
        start = perf_counter()
        result = await _work()
        requests.add(1, {"command": "balance", "outcome": "ok"})
        seconds.record(perf_counter() - start, {"command": "balance"})
        return result

    return _cost(handler)
