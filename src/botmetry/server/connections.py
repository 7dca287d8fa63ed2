"""Connections that cost the observed program little, whoever opens them.

aiohttp limits the length of a line, not the time or the total size of a request head: a client that sends a byte a
minute, or headers without end, would hold a connection for as long as it likes. Here a head has a deadline and a size,
and the number of connections has a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

__all__ = ["Answer", "Connections"]

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# Longer than the usual scrape intervals (15 s to 1 min), so that a scraper keeps its connection.
_KEEPALIVE_SECONDS = 75.0

# Some scrapers and probes, each with a connection or two; far below the usual limit of 1024 open files a process, which
# the observed program needs for itself.
_MAX_CONNECTIONS = 128


class Connections(web.Server):
    """The protocol factory of the metrics server: one guarded HTTP connection a call."""

    def __init__(
        self,
        answer: Answer,
        *,
        header_timeout_seconds: float,
        max_request_bytes: int,
        report: Callable[[BaseException], None],
    ) -> None:
        super().__init__(self._answered, request_factory=self._arrived)
        self.header_timeout_seconds = header_timeout_seconds
        self.max_request_bytes = max_request_bytes
        self.report = report
        self._answer = answer
        self._closing = False

    @property
    def full(self) -> bool:
        """Whether one more connection is one too many; while closing every one is."""
        return self._closing or len(self.connections) > _MAX_CONNECTIONS

    async def aclose(self, seconds: float) -> None:
        """Finish the requests under way, in at most `seconds`, and close all connections."""
        self._closing = True
        self.pre_shutdown()
        await self.shutdown(seconds)
        await asyncio.sleep(0)  # in which the closed transports let go of their sockets

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(self, asyncio.get_running_loop())

    def _arrived(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        """Make the request object; aiohttp calls this when a head is complete."""
        if isinstance(protocol, _Connection):
            protocol.begin_request()
        return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        finally:
            if isinstance(request.protocol, _Connection):
                request.protocol.end_request()


class _Connection(RequestHandler):
    """An HTTP connection whose request heads have a deadline and a size."""

    __slots__ = ("_deadline", "_head_bytes", "_in_request", "_limits")

    def __init__(self, connections: Connections, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            connections,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # this is how aiohttp is told to write none
            keepalive_timeout=_KEEPALIVE_SECONDS,
            lingering_time=0.0,  # no body is ever read, so there is nothing to wait for
            max_line_size=connections.max_request_bytes,
            max_field_size=connections.max_request_bytes,
        )
        self._limits = connections
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_request = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._limits.full:
            self.force_close()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        if not self._in_request:
            if self._deadline is None:
                self._await_head()  # the first bytes of a further request on this connection
            self._head_bytes += len(data)
            # aiohttp takes a complete head in a later step of the loop; only after that step is it known
            # whether these bytes are still the head.
            self._loop.call_soon(self._check_size)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def begin_request(self) -> None:
        """Note that a head is complete."""
        self._in_request = True
        self._forget_head()

    def end_request(self) -> None:
        """Note that the request is answered, so that what comes next is a new head."""
        self._in_request = False

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 -- aiohttp's signature
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that cannot be understood, or one that we failed at.

        aiohttp would log a traceback a request; a port scanner would fill the program's log with them.
        """
        if isinstance(exc, LineTooLong):
            status, message = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "a header is too long"
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR and exc is not None:
            self._limits.report(exc)
        response = web.Response(status=status, text=f"{message or HTTPStatus(status).phrase}\n")
        response.force_close()
        return response

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._deadline = self._loop.call_later(
            self._limits.header_timeout_seconds, self._refuse, HTTPStatus.REQUEST_TIMEOUT
        )

    def _forget_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _check_size(self) -> None:
        if self._deadline is not None and self._head_bytes > self._limits.max_request_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _refuse(self, status: HTTPStatus) -> None:
        self._forget_head()
        if self.transport is not None:
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii"))
            self.force_close()
