"""Numbers that several processes share: what a call costs, what dead children leave, whether the totals are exact."""

from __future__ import annotations

import os
import struct
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, perf_counter

from cases.series import BOUNDS, cost_of_inc, cost_of_observe

CALLS = 1_000_000
CHILDREN = 10_000
EXACT_SECONDS = 30.0
THREADS = 8
PROCESSES = 4


def _telemetry():
    from botmetry import LogSettings, Telemetry

    return Telemetry("bench", prefork=True, log=LogSettings(output="none"))


def _client_folder() -> str:
    folder = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    return folder


def _remove(folder: str) -> None:
    for file in Path(folder).iterdir():
        file.unlink()
    Path(folder).rmdir()


def counter() -> float:
    """Our counter with `prefork=True`."""
    series = _telemetry().counter("x_total", "x", ("a",)).labels("1")
    return cost_of_inc(series.inc, series.value, CALLS)


def histogram() -> float:
    """Our histogram with `prefork=True`."""
    series = _telemetry().histogram("x_seconds", "x", ("a",), buckets=BOUNDS).labels("1")
    return cost_of_observe(series.observe, series.count, CALLS)


def client_counter() -> float:
    """prometheus_client's counter in multiprocess mode."""
    folder = _client_folder()
    from prometheus_client import Counter

    child = Counter("x", "x", ["a"]).labels("1")
    cost = cost_of_inc(child.inc, child._value.get, CALLS)
    _remove(folder)
    return cost


def client_histogram() -> float:
    """prometheus_client's histogram in multiprocess mode."""
    folder = _client_folder()
    from prometheus_client import Histogram

    child = Histogram("x_seconds", "x", ["a"], buckets=BOUNDS).labels("1")
    cost = cost_of_observe(child.observe, lambda: sum(bucket.get() for bucket in child._buckets), CALLS)
    _remove(folder)
    return cost


def _after_children(inc: Callable[[], None], render: Callable[[], bytes]) -> float:
    """Return the milliseconds of a scrape after many children that each counted once and ended."""
    for _ in range(CHILDREN):
        pid = os.fork()
        if pid == 0:
            inc()
            os._exit(0)
        os.waitpid(pid, 0)
    render()
    start = perf_counter()
    text = render()
    cost = (perf_counter() - start) * 1e3
    assert f'x_total{{a="1"}} {CHILDREN}.0'.encode() in text
    return cost


def scrape_after_children() -> float:
    """Ours."""
    telemetry = _telemetry()
    series = telemetry.counter("x_total", "x", ("a",)).labels("1")
    return _after_children(series.inc, telemetry.render)


def client_scrape_after_children() -> float:
    """prometheus_client's MultiProcessCollector."""
    folder = _client_folder()
    from prometheus_client import CollectorRegistry, Counter, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    child = Counter("x", "x", ["a"]).labels("1")
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    cost = _after_children(child.inc, lambda: generate_latest(registry))
    _remove(folder)
    return cost


def miscounted() -> float:
    """Difference between what 8 threads and 4 forked processes did in 30 s of counting, and what a scrape shows."""
    telemetry = _telemetry()
    series = telemetry.counter("x_total", "x", ("a",)).labels("1")
    seconds = telemetry.histogram("x_seconds", "x", buckets=BOUNDS).labels()

    def count() -> int:
        done = 0
        end = monotonic() + EXACT_SECONDS
        while monotonic() < end:
            for _ in range(1_000):
                series.inc()
                seconds.observe(0.25)
            done += 1_000
        return done

    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(count())) for _ in range(THREADS)]
    reading, writing = os.pipe()
    for thread in threads:
        thread.start()
    for _ in range(PROCESSES):
        if os.fork() == 0:
            os.write(writing, struct.pack("q", count()))
            os._exit(0)
    while any(thread.is_alive() for thread in threads):
        telemetry.render()
        threads[0].join(0.5)
    counts.extend(struct.unpack("q", os.read(reading, 8))[0] for _ in range(PROCESSES))
    for _ in range(PROCESSES):
        os.wait()
    shown = dict(line.rsplit(" ", 1) for line in telemetry.render().decode().splitlines() if line[0] != "#")
    total = sum(counts)
    assert total > 1_000_000, "hardly anything was counted"
    names = ('x_total{a="1"}', "x_seconds_count", 'x_seconds_bucket{le="+Inf"}')
    return max(abs(float(shown[name]) - total) for name in names)
