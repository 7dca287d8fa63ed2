"""Counters, gauges and histograms: the catalogue, the hot path, the exposition."""

from botmetry.metrics.beside import Collector
from botmetry.metrics.catalogue import CATALOGUE, FAMILIES, OTHER, family
from botmetry.metrics.metric import AnyMetric, Counter, Gauge, Histogram
from botmetry.metrics.registry import Registry
from botmetry.metrics.series import CounterSeries, GaugeSeries, HistogramSeries
from botmetry.metrics.spec import Across, Kind, MetricSpec

__all__ = [
    "CATALOGUE",
    "FAMILIES",
    "OTHER",
    "Across",
    "AnyMetric",
    "Collector",
    "Counter",
    "CounterSeries",
    "Gauge",
    "GaugeSeries",
    "Histogram",
    "HistogramSeries",
    "Kind",
    "MetricSpec",
    "Registry",
    "family",
]
