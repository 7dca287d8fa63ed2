"""Sends the current trace along with the requests of an aiohttp client session, as W3C `traceparent`.

The called service can then go on with the trace. Nothing is counted, and nothing else is sent: log context, such as the
user's id, is nobody's business outside.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from aiohttp import ClientSession, TraceConfig, TraceRequestStartParams

from botmetry.tracing import format_traceparent

if TYPE_CHECKING:
    from botmetry.integrations.subclassing import Undo
    from botmetry.telemetry import Telemetry

__all__ = ["instrument"]


def instrument(target: ClientSession, telemetry: Telemetry) -> Undo:
    """Send the trace along with the requests of a session; return how to take that back.

    Doing it twice is doing it once. A `traceparent` that a request has already is left alone.

    Raises:
        TypeError: `target` is no client session of aiohttp.
    """
    if not isinstance(target, ClientSession):
        raise TypeError(f"a client session of aiohttp can be instrumented, not {type(target).__name__}")
    configs = target.trace_configs
    for other in configs:
        if isinstance(other, _Traces) and other.session is target:
            return other.stop
    traces = _Traces(target, telemetry)
    configs.append(traces)
    return traces.stop


class _Traces(TraceConfig):
    """The hooks of one session; a list of hooks may be shared with other sessions, which are left alone."""

    def __init__(self, session: ClientSession, telemetry: Telemetry) -> None:
        super().__init__()
        self.session = session
        self._telemetry = telemetry
        self.on_request_start.append(self._begin)
        self.freeze()

    def stop(self) -> None:
        """Send no more."""
        if self in self.session.trace_configs:
            self.session.trace_configs.remove(self)

    async def _begin(
        self, session: ClientSession, _: SimpleNamespace, request: TraceRequestStartParams
    ) -> None:
        span = self._telemetry.tracer.current()
        if session is self.session and span is not None:
            request.headers.setdefault("traceparent", format_traceparent(span))
