"""The façade, and the families behind its attributes."""

from botmetry.telemetry.celery import CeleryProbe, CeleryState
from botmetry.telemetry.facade import Check, Telemetry
from botmetry.telemetry.queue import QueueProbe, QueueState

__all__ = ["CeleryProbe", "CeleryState", "Check", "QueueProbe", "QueueState", "Telemetry"]
