"""Runs the AI's tasks: takes them from the queue, does them, and says how each ended."""

from midas.worker.app import run_worker

__all__ = ["run_worker"]
