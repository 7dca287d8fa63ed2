"""Correct numbers from several processes: each writes its own file, and whoever is scraped adds up all of them."""

from botmetry.metrics.prefork.keeping import InFolder

__all__ = ["InFolder"]
