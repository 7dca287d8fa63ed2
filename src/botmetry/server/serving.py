"""Starting the metrics server in the caller's event loop, and ending it there."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Generator
from types import TracebackType

from botmetry.logs.redaction import Redactor
from botmetry.metrics.forks import in_children
from botmetry.server.connections import Connections
from botmetry.server.exposition import Exposition
from botmetry.server.listening import listening_sockets, tls_context, url_of
from botmetry.server.loop_lag import LoopLag
from botmetry.server.readiness import Readiness
from botmetry.server.routes import Routes
from botmetry.server.source import Source
from botmetry.settings import ServerSettings

__all__ = ["MetricsServer", "Serving"]

# How long `aclose` lets a scrape that is under way finish: as long as Prometheus itself waits by default.
_CLOSE_SECONDS = 10.0

# How long work may take to end after that, which nobody waits for any more.
_WORK_SECONDS = 1.0

# A TLS peer that never says goodbye holds `aclose` up no longer than this.
_TLS_GOODBYE_SECONDS = 1.0

# What a listener has accepted is a connection after so many turns of the loop: a task, its first step, the protocol.
_TURNS_TO_A_CONNECTION = 3


class Serving:
    """A metrics server that is about to start: `async with` it, or `await` it for a handle to close yourself.

    Entering and awaiting raise `ServerStartError` when the server cannot listen, and then nothing is left behind.
    """

    def __init__(self, telemetry: Source, settings: ServerSettings, *, measure_loop: bool = True) -> None:
        self._telemetry = telemetry
        self._settings = settings
        self._measure_loop = measure_loop
        self._server: MetricsServer | None = None

    def __await__(self) -> Generator[object, None, MetricsServer]:
        return self._start().__await__()

    async def __aenter__(self) -> MetricsServer:
        self._server = await self._start()
        return self._server

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            await self._server.aclose()

    async def _start(self) -> MetricsServer:
        tls = tls_context(self._settings)
        settings = self._settings
        sockets = listening_sockets(settings.host, settings.port, reuse_port=settings.reuse_port)
        server = MetricsServer(self._telemetry, self._settings, url_of(sockets[0], tls=tls is not None))
        try:
            await server.listen(sockets, tls)
        except BaseException:
            for sock in sockets:
                sock.close()
            await server.aclose()
            raise
        if self._measure_loop:
            server.measure_loop()
        return server


class MetricsServer:
    """A running metrics server; `Serving` makes it.

    Attributes:
        url: Where it is reached, such as `http://127.0.0.1:8000`; `/metrics` is below it.
        port: The port it is bound to.
    """

    def __init__(self, telemetry: Source, settings: ServerSettings, url: str) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self._settings = settings
        self._exposition = Exposition(telemetry)
        self._readiness = Readiness(telemetry, Redactor().text)
        self._connections = Connections(
            Routes(telemetry, settings, self._exposition, self._readiness).answer,
            header_timeout_seconds=settings.header_timeout_seconds,
            max_request_bytes=settings.max_request_bytes,
            report=lambda error: telemetry.internal_error("server", error),
        )
        self._loop_lag = LoopLag(telemetry.runtime.event_loop_lag)
        self._listeners: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        in_children(self._close_inherited)
        self._closing: asyncio.Task[None] | None = None

    async def listen(self, sockets: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Accept connections from `sockets`, which belong to this server from now on."""
        loop = asyncio.get_running_loop()
        self._sockets = sockets
        for sock in sockets:
            listener = await loop.create_server(
                self._connections,
                sock=sock,
                ssl=tls,
                # asyncio refuses the two limits without TLS.
                ssl_handshake_timeout=None if tls is None else self._settings.header_timeout_seconds,
                ssl_shutdown_timeout=None if tls is None else _TLS_GOODBYE_SECONDS,
            )
            self._listeners.append(listener)

    def measure_loop(self) -> None:
        """Record the lag of the running event loop until the server is closed."""
        self._loop_lag.start()

    async def aclose(self) -> None:
        """Stop listening, finish the scrapes under way, close everything. Idempotent.

        A caller that is cancelled meanwhile leaves the closing to end by itself.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    def _close_inherited(self) -> None:
        """Close the sockets in a forked child, where nobody answers: they would keep the port when we have ended."""
        for sock in self._sockets:
            sock.close()

    async def _close(self) -> None:
        self._loop_lag.stop()
        await self._stop_accepting()
        await self._connections.aclose(_CLOSE_SECONDS)
        await self._readiness.aclose(_WORK_SECONDS)
        await self._exposition.aclose(_WORK_SECONDS)
        for listener in self._listeners:
            await listener.wait_closed()

    async def _stop_accepting(self) -> None:
        """Close the listeners, but not in the same turn of the loop in which one has accepted a connection.

        asyncio of Python 3.11 would forget that connection, and leave it open for as long as the process lives.
        """
        loop = asyncio.get_running_loop()
        for sock in (sock for listener in self._listeners for sock in listener.sockets):
            loop.remove_reader(sock.fileno())
        for _ in range(_TURNS_TO_A_CONNECTION):
            await asyncio.sleep(0)
        for listener in self._listeners:
            listener.close()
