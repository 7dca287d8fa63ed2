"""How late the event loop is while 180,000 series, some of which change, are scraped every second."""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Callable
from time import perf_counter

from cases.exposition import BOUNDS, SERIES_A_CHILD

CHILDREN = 180_000 // SERIES_A_CHILD
SECONDS = 10.0
TICK_SECONDS = 0.001

SCRAPER = """
import sys, time, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Accept-Encoding": "gzip"})
urllib.request.urlopen(request).read()
print("warm", flush=True)
while True:
    start = time.monotonic()
    body = urllib.request.urlopen(request).read()
    print(len(body), flush=True)
    time.sleep(max(0.0, start + 1.0 - time.monotonic()))
"""


async def _lag_while_scraped(url: str, touch: Callable[[int], None], scrapes: int) -> float:
    """Return the 99th percentile, in milliseconds, of how much later than asked a sleeping task runs again."""
    scraper = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", SCRAPER, url, stdout=asyncio.subprocess.PIPE
    )
    lags: list[float] = []
    try:
        assert await scraper.stdout.readline() == b"warm\n"
        end = perf_counter() + SECONDS
        turn = 0
        while perf_counter() < end:
            before = perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            lags.append(perf_counter() - before - TICK_SECONDS)
            touch(turn % CHILDREN)
            turn += 1
    finally:
        scraper.kill()
        rest = await scraper.stdout.read()
        await scraper.wait()
    assert len(rest.split()) >= scrapes, f"{len(rest.split())} scrapes in {SECONDS} s"
    return statistics.quantiles(lags, n=100)[-1] * 1e3


def botmetry() -> float:
    """Our server, in the same event loop."""
    from botmetry import LogSettings, Telemetry

    async def main() -> float:
        telemetry = Telemetry("bench", series_limit=None, log=LogSettings(output="none"))
        metric = telemetry.histogram("x_seconds", "x", ("a",), buckets=BOUNDS)
        children = [metric.labels(f"command-{number}") for number in range(CHILDREN)]
        async with telemetry.serve(port=0) as server:
            return await _lag_while_scraped(
                f"{server.url}/metrics", lambda number: children[number].observe(0.2), scrapes=9
            )

    return asyncio.run(main())


def prometheus_async() -> float:
    """prometheus-async's server, in the same event loop."""
    from prometheus_async.aio.web import start_http_server
    from prometheus_client import Histogram, disable_created_metrics

    async def main() -> float:
        disable_created_metrics()
        metric = Histogram("x_seconds", "x", ["a"], buckets=BOUNDS)
        children = [metric.labels(f"command-{number}") for number in range(CHILDREN)]
        server = await start_http_server(addr="127.0.0.1", port=0)
        try:
            return await _lag_while_scraped(
                f"http://127.0.0.1:{server.socket.port}/metrics",
                lambda number: children[number].observe(0.2),
                scrapes=1,  # one takes longer than the second that it has
            )
        finally:
            await server.close()

    return asyncio.run(main())
