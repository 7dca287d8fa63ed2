"""A shop that is not midas: it runs sagas and background jobs, so that their panels and rules have something to show.

It also has the rarer troubles that the demo's people do not meet within two minutes.

Run as a program: it prints its port and works until it is told to stop.
"""

import asyncio
import contextlib
import signal
import sys
import time

from botmetry import LogSettings, Telemetry
from botmetry.telemetry.celery import CeleryState
from botmetry.telemetry.queue import QueueState
from botmetry.telemetry.saga import SagaCensus

PAUSE_SECONDS = 0.2
# More than the limit below: what a label with too many values does.
SHELVES = 40


class OutOfStockError(Exception):
    """A step of an order cannot be done."""


async def order(telemetry: Telemetry, number: int) -> None:
    """Reserve, pay, ship; every second order cannot be shipped, and every fourth not be undone either."""
    saga = telemetry.saga
    saga.started("order")
    for step in ("reserve", "pay"):
        with saga.step("order", step):
            await asyncio.sleep(0.005)
    try:
        with saga.step("order", "ship"):
            if number % 2:
                raise OutOfStockError
    except OutOfStockError:
        undone = number % 4 == 1
        with contextlib.suppress(OutOfStockError), saga.compensation("order", "pay"):
            if not undone:
                raise OutOfStockError from None
        saga.finished("order", "aborted" if undone else "failed")
    else:
        saga.finished("order", "completed")


def job(telemetry: Telemetry, number: int) -> None:
    """Do a background job, of which some fail and some are taken away by hand."""
    telemetry.celery.counted("send_invoice", "mail", "published")
    telemetry.celery.waited("mail", 0.02 * (number % 5))
    if number % 7 == 0:
        telemetry.celery.counted("send_invoice", "mail", "revoked")
        return
    with contextlib.suppress(OutOfStockError), telemetry.celery.task("send_invoice", "mail"):
        if number % 3 == 0:
            raise OutOfStockError


async def broker() -> CeleryState:
    """Say what the broker holds."""
    now = time.time()
    return CeleryState(
        lengths={("mail", 0): 3, ("mail", 9): 1},
        unacked={"mail": 2},
        workers={"online": 2, "lost": 1},
        beat={"beat": now, "nightly": now - 60},
    )


async def shelf() -> QueueState:
    """Say what the shop's own queue holds."""
    return QueueState(ready=2, dead=1, oldest_age_seconds=1.5)


async def book() -> SagaCensus:
    """Say where the shop's sagas are: one stands still, and one waits for somebody to go on with it."""
    return SagaCensus(running=1, suspended=1, overdue_seconds=2.5)


async def work(telemetry: Telemetry) -> None:
    """Go on until cancelled."""
    seen = telemetry.counter("shop_shelves_total", "Looks at a shelf.", ("shelf",), series_limit=10)
    for number in range(1_000_000):
        await order(telemetry, number)
        job(telemetry, number)
        seen.labels(str(number % SHELVES)).inc()
        telemetry.queue.retried("parcels")
        telemetry.queue.dead_lettered("parcels")
        telemetry.bot.retry_after(0.01)
        telemetry.ai.fallback("describe_photo", "timeout")
        telemetry.transactions.crypto_card_detected("wirex")
        await asyncio.sleep(PAUSE_SECONDS)


async def main() -> None:
    """Serve and work."""
    telemetry = Telemetry(service="shop", version="1.4", log=LogSettings(output="none"))
    telemetry.celery.watch(broker)
    telemetry.queue.watch("parcels", shelf)
    telemetry.saga.watch("order", book)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with telemetry.serve(port=0) as serving:
        sys.stdout.write(f"{serving.port}\n")
        sys.stdout.flush()
        telemetry.saga.started("restock")  # and never finished: one is always in progress
        working = asyncio.create_task(work(telemetry))
        await stop.wait()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    telemetry.close()


if __name__ == "__main__":
    asyncio.run(main())
