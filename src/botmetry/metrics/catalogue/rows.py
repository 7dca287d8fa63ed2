"""A metric as one line of the catalogue: its kind, its name, its labels, and a sentence about it."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from botmetry.metrics.spec import Across, Kind

__all__ = ["Row", "Rows", "counter", "gauge", "histogram", "info"]


class Row(NamedTuple):
    """What a family says of one metric; `MetricSpec` explains the fields."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    across: Across = "sum"


Rows: TypeAlias = tuple[Row, ...]


def counter(name: str, labels: tuple[str, ...], text: str) -> Row:
    """Write down a counter."""
    return Row(name, "counter", text, labels)


def gauge(name: str, labels: tuple[str, ...], text: str, *, across: Across = "sum") -> Row:
    """Write down a gauge.

    One that is no sum over processes says so. Queues, sagas, workers and confirmations are counted in the store that
    all processes share, by whichever was scraped last; users are counted once, whoever served them.
    """
    return Row(name, "gauge", text, labels, across=across)


def histogram(name: str, labels: tuple[str, ...], bounds: tuple[float, ...], text: str) -> Row:
    """Write down a histogram."""
    return Row(name, "histogram", text, labels, bounds)


def info(name: str, labels: tuple[str, ...], text: str) -> Row:
    """Write down a metric that is always 1 and tells by its labels, however many processes say it."""
    return Row(name, "info", text, labels, across="max")
