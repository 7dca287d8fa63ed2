"""Builds the OpenTelemetry provider that sends spans to an OTLP endpoint, when the settings name one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botmetry.errors import MissingExtraError
from botmetry.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["provider_from_settings"]


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
    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.version": version}),
        sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)),
    )
    endpoint = settings.endpoint.rstrip("/") + "/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider
