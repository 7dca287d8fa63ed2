"""Metrics, logs and traces of chat bots, AI assistants and their workers, from one call."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botmetry.errors import (
        BotmetryError,
        MetricError,
        MissingExtraError,
        ServerStartError,
        SettingsError,
        StackError,
    )
    from botmetry.settings import LogSettings, ServerSettings, TelemetrySettings, TracingSettings
    from botmetry.telemetry import CeleryState, QueueState, Telemetry

__version__ = "0.1.0"

__all__ = [
    "BotmetryError",
    "CeleryState",
    "LogSettings",
    "MetricError",
    "MissingExtraError",
    "QueueState",
    "ServerSettings",
    "ServerStartError",
    "SettingsError",
    "StackError",
    "Telemetry",
    "TelemetrySettings",
    "TracingSettings",
]

_HOMES = {
    "botmetry.errors": {
        "BotmetryError",
        "MetricError",
        "MissingExtraError",
        "ServerStartError",
        "SettingsError",
        "StackError",
    },
    "botmetry.settings": {"LogSettings", "ServerSettings", "TelemetrySettings", "TracingSettings"},
    "botmetry.telemetry": {"CeleryState", "QueueState", "Telemetry"},
}


def __getattr__(name: str) -> object:
    """Import a public name on first use: a program that wants one error class pays for nothing else."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'botmetry' has no attribute {name!r}")
