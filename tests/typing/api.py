"""What users write, as the type checkers see it: `make types` checks this file, nothing runs it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from botmetry import CeleryState, QueueState, Telemetry
from botmetry.metrics import Counter, CounterSeries, Gauge, Histogram, HistogramSeries

telemetry = Telemetry("shop-bot")


@telemetry.bot.command("balance")
async def balance(user_id: int, *, currency: str = "EUR") -> str:
    """Keep its signature when decorated."""
    return f"{user_id} {currency}"


@telemetry.ai.task("categorize", model="deepseek-chat")
def categorize(text: str) -> dict[str, float]:
    """Keep its signature, too."""
    return {text: 1.0}


@telemetry.saga.step("purchase", "pay")
async def pay(order: int) -> str:
    """Keep its signature, as a step does."""
    return str(order)


@telemetry.celery.task("shop.tidy", "maintenance")
def tidy(days: int) -> bool:
    """Keep its signature, as a background job does."""
    return days > 0


async def uses() -> None:
    """Types survive decoration, and wrong calls are found."""
    assert_type(await balance(7, currency="USD"), str)
    assert_type(categorize("x"), dict[str, float])
    handler: Callable[[int], Coroutine[Any, Any, str]] = balance
    assert_type(await handler(7), str)
    await balance("seven")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    categorize(text=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    with telemetry.ai.task("categorize") as operation:
        operation.confidence = 0.9
        operation.outcome = "timeout"
        operation.outcome = "fine"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        operation.set(attempt=1)

    orders = telemetry.counter("orders_total", "Orders.", labels=("band",), series_limit=None)
    assert_type(orders, Counter)
    assert_type(orders.labels("small"), CounterSeries)
    assert_type(telemetry.gauge("stock", "Stock."), Gauge)
    seconds = telemetry.histogram("pick_seconds", "Picking.", buckets=(1, 5, 10))
    assert_type(seconds, Histogram)
    assert_type(seconds.labels(), HistogramSeries)
    telemetry.ai.confirmation("categorize", "auto")
    telemetry.ai.confirmation("categorize", "perhaps")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    async def probe() -> QueueState:
        return QueueState(ready=1)

    telemetry.queue.watch("ai", probe)

    async def broker() -> CeleryState:
        return CeleryState({("default", 0): 3}, unacked={"default": 1}, workers={"online": 2})

    assert_type(telemetry.celery.watch(broker), Callable[[], None])
    assert_type(await pay(7), str)
    assert_type(tidy(3), bool)
    await pay("seven")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with telemetry.saga.compensation("purchase", "pay") as undoing:
        undoing.set(attempt=1)
    telemetry.saga.finished("purchase", "aborted")
    assert_type(telemetry.render(openmetrics=True), bytes)
    assert_type(telemetry.carrier(), dict[str, str])
    async with telemetry.serve(port=0) as server:
        assert_type(server.url, str)
        assert_type(server.port, int)
