"""Correct numbers from several processes: each writes its own file, and whoever is scraped adds up all of them."""

from botmetry.metrics.prefork.keeping import InFolder
from botmetry.metrics.prefork.marks import Users

__all__ = ["InFolder", "Users"]
