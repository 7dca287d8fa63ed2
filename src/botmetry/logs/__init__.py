"""Structured logs: one JSON object a line, secrets removed, written by a thread that never keeps the caller waiting."""

from botmetry.logs.events import EventLogger, open_log
from botmetry.logs.redaction import Redactor
from botmetry.logs.sink import Sink

__all__ = ["EventLogger", "Redactor", "Sink", "open_log"]
