"""The façade, and the families behind its attributes."""

from botmetry.telemetry.facade import Check, Telemetry
from botmetry.telemetry.queue import QueueProbe, QueueState

__all__ = ["Check", "QueueProbe", "QueueState", "Telemetry"]
