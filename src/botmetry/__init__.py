"""Metrics, logs and traces of chat bots, AI assistants and their workers, from one call."""

__version__ = "0.1.0"
