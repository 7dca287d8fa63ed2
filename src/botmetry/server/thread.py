"""The metrics server of a program that has no event loop: a thread with a loop of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from threading import Lock, Thread
from types import TracebackType
from typing import NamedTuple, Self

from botmetry.server.serving import MetricsServer, Serving
from botmetry.server.source import Source
from botmetry.settings import ServerSettings

__all__ = ["ThreadServer", "start_in_thread"]


class _Started(NamedTuple):
    server: MetricsServer
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event


class ThreadServer:
    """A metrics server that runs in a thread; `start_in_thread` makes it.

    Attributes:
        url: Where it is reached, such as `http://127.0.0.1:8000`; `/metrics` is below it.
        port: The port it is bound to.
    """

    def __init__(self, started: _Started, thread: Thread) -> None:
        self.url = started.server.url
        self.port = started.server.port
        self._started = started
        self._thread = thread
        self._lock = Lock()
        self._closed = False

    def close(self) -> None:
        """Stop listening, finish the scrapes under way, end the thread. Idempotent; any thread may call it."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._started.loop.call_soon_threadsafe(self._started.stop.set)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_in_thread(telemetry: Source, settings: ServerSettings) -> ThreadServer:
    """Start the metrics server in a daemon thread and return when it listens.

    The event loop lag is not measured: the only loop here is the server's own, in which nothing else waits.

    Raises:
        ServerStartError: The server cannot listen. The thread has ended.
    """
    outcome: Future[_Started] = Future()
    thread = Thread(
        target=lambda: asyncio.run(_serve(telemetry, settings, outcome)), name="botmetry-server", daemon=True
    )
    thread.start()
    try:
        return ThreadServer(outcome.result(), thread)
    except BaseException:
        # Also when it is the caller who gives up, with Ctrl-C: then the thread may have started all the same.
        outcome.add_done_callback(_stop)
        thread.join()
        raise


def _stop(outcome: Future[_Started]) -> None:
    if outcome.exception() is None:
        started = outcome.result()
        started.loop.call_soon_threadsafe(started.stop.set)


async def _serve(telemetry: Source, settings: ServerSettings, outcome: Future[_Started]) -> None:
    try:
        server = await Serving(telemetry, settings, measure_loop=False)
    except BaseException as error:  # noqa: BLE001 -- whatever it is, the caller waits for it in another thread
        outcome.set_exception(error)
        return
    stop = asyncio.Event()
    outcome.set_result(_Started(server, asyncio.get_running_loop(), stop))
    try:
        await stop.wait()
    finally:
        await server.aclose()
