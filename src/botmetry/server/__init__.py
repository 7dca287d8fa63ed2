"""The metrics server: `/metrics`, `/healthz`, `/readyz` and a page that says what is here."""

from botmetry.server.serving import MetricsServer, Serving
from botmetry.server.thread import ThreadedMetricsServer, start_in_thread

__all__ = ["MetricsServer", "Serving", "ThreadedMetricsServer", "start_in_thread"]
