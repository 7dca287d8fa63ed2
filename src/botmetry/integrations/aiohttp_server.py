"""Lets an aiohttp application go on with the trace of those who call it.

Each request is handled within a span named after its route, below the span that the caller sends in `traceparent`, or
at the beginning of a new trace. Nothing is counted: webhooks are counted by what handles them. Log context is not taken
from callers, because anybody may call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from botmetry.integrations.arrivals import Arrival, Arrived

if TYPE_CHECKING:
    from botmetry.integrations.subclassing import Undo
    from botmetry.telemetry import Telemetry

__all__ = ["instrument"]

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SERVER_ERRORS = 500


def instrument(target: web.Application, telemetry: Telemetry) -> Undo:
    """Observe the requests of an application that does not run yet; return how to take that back.

    Doing it twice is doing it once. It comes before the application's own middlewares.

    Raises:
        TypeError: `target` is no application of aiohttp.
        RuntimeError: The application runs already; aiohttp lets nobody in then.
    """
    if not isinstance(target, web.Application):
        raise TypeError(f"an application of aiohttp can be instrumented, not {type(target).__name__}")
    for other in target.middlewares:
        if isinstance(other, _Requests) and other.telemetry is telemetry:
            other.active = True
            return other.stop
    requests = _Requests(telemetry)
    target.middlewares.insert(0, requests)
    return requests.stop


class _Requests:
    """The middleware. After the undo it stays, because a running application keeps what it has, and does nothing."""

    __middleware_version__ = 1  # how aiohttp tells middlewares from the factories of its early days

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.active = True

    def stop(self) -> None:
        """Observe no more."""
        self.active = False

    async def __call__(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not self.active:
            return await handler(request)
        with Arrival(self.telemetry, "integrations.aiohttp_server", lambda: _arrived(request)) as arrival:
            try:
                return await handler(request)
            except web.HTTPException as answer:
                if answer.status < _SERVER_ERRORS:
                    arrival.outcome = "ok"  # such as a redirect, or a page that is not there
                raise


def _arrived(request: web.Request) -> Arrived:
    resource = request.match_info.route.resource
    route = "unknown" if resource is None else f"{request.method} {resource.canonical}"
    return Arrived(f"http {route}", "server", traceparent=request.headers.get("traceparent", ""))
