"""Builds the OpenTelemetry provider that sends spans to an OTLP endpoint, when the settings name one.

OpenTelemetry waits for an endpoint that is down: 10 s for each 512 spans when it flushes, 30 s when the program ends.
Who is told to stop has less time than that, so both are given up here after `FLUSH_SECONDS`, in a thread left behind.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Final

from botmetry.errors import MissingExtraError
from botmetry.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["FLUSH_SECONDS", "flush", "provider_from_settings"]

FLUSH_SECONDS: Final = 5.0
"""As long as the log waits for its output."""


def flush(provider: object) -> None:
    """Send the spans that wait, in at most `FLUSH_SECONDS`; what an endpoint does not take by then may get lost."""
    force_flush = getattr(provider, "force_flush", None)
    if force_flush is not None:
        _within(FLUSH_SECONDS, force_flush)


def provider_from_settings(service: str, version: str, settings: TracingSettings) -> TracerProvider | None:
    """Return a provider that batches spans to `settings.endpoint`, or None when there is none.

    Raises:
        MissingExtraError: OpenTelemetry's SDK or OTLP exporter is not installed.
    """
    if settings.endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(error.name or "opentelemetry-sdk", "otel") from error
    root = TraceIdRatioBased(settings.sample_ratio)
    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.version": version}),
        sampler=ParentBased(root) if settings.parent_based else root,
        shutdown_on_exit=False,
    )
    atexit.register(_within, FLUSH_SECONDS, provider.shutdown)
    endpoint = settings.endpoint.rstrip("/") + "/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider


def _within(seconds: float, work: Callable[[], object]) -> None:
    def run() -> None:
        with suppress(Exception):  # there is nobody left to tell
            work()

    thread = Thread(target=run, name="botmetry-spans", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no more threads, or the interpreter is ending
        run()
    else:
        thread.join(seconds)
