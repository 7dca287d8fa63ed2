"""The metrics server: `/metrics`, `/healthz`, `/readyz` and a page that says what is here."""

from botmetry.server.serving import MetricsServer, Serving
from botmetry.server.thread import ThreadServer, start_in_thread

__all__ = ["MetricsServer", "Serving", "ThreadServer", "start_in_thread"]
