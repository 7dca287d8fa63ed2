"""Counters, gauges and histograms: the catalogue, the hot path, the exposition."""

from botmetry.metrics.catalogue import CATALOGUE, FAMILIES, OTHER, family
from botmetry.metrics.spec import Kind, MetricSpec

__all__ = ["CATALOGUE", "FAMILIES", "OTHER", "Kind", "MetricSpec", "family"]
