"""Which of the two expositions a scraper wants, read from its `Accept` and `Accept-Encoding` headers.

Nobody is turned away with 406: a scraper that names nothing we have still gets the text format, which
every Prometheus-compatible scraper reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS_1_0_0

__all__ = ["Format", "accepts_gzip", "choose_format"]

# A header may name dozens of types; more than this is not a scraper, and the rest is ignored.
_MAX_RANGES = 32

# How exactly a range covers an offer: by type, subtype and version; by type and subtype; by type; by `*/*`.
_VERSIONED, _NAMED, _OF_KIND, _ANY, _NOT_COVERED = 3, 2, 1, 0, -1


class Format(Enum):
    """An exposition format; the value is its exact `Content-Type`."""

    TEXT = CONTENT_TYPE_PLAIN_0_0_4
    OPENMETRICS = CONTENT_TYPE_OPENMETRICS_1_0_0

    @property
    def is_openmetrics(self) -> bool:
        """Whether this is OpenMetrics, which alone carries exemplars."""
        return self is Format.OPENMETRICS


class _Offer(NamedTuple):
    """A format as an `Accept` header names it."""

    kind: str
    subtype: str
    version: str


class _Preference(NamedTuple):
    """How much a scraper wants an offer: its q, and how exactly it named the offer."""

    quality: float
    precision: int


_OFFERS = {
    Format.TEXT: _Offer("text", "plain", "0.0.4"),
    Format.OPENMETRICS: _Offer("application", "openmetrics-text", "1.0.0"),
}


def choose_format(accept: str) -> Format:
    """Return the format with the highest q in `accept`; text when in doubt.

    OpenMetrics wins a tie only when it was named: `*/*` from a browser or curl means "show me", and
    people read the text format.
    """
    ranges = list(_ranges(accept))
    text = _preference(_OFFERS[Format.TEXT], ranges)
    openmetrics = _preference(_OFFERS[Format.OPENMETRICS], ranges)
    if openmetrics.quality > text.quality:
        return Format.OPENMETRICS
    tied = openmetrics.quality == text.quality > 0.0
    return Format.OPENMETRICS if tied and openmetrics.precision >= _NAMED else Format.TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether `accept_encoding` allows gzip, by name or by `*`."""
    qualities = {name.lower(): _quality(parameters) for name, parameters in _ranges(accept_encoding)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0.0


def _ranges(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    for item in header.split(",")[:_MAX_RANGES]:
        name, *rest = (part.strip() for part in item.split(";"))
        if name:
            pairs = (part.partition("=") for part in rest)
            yield name, {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}


def _preference(offer: _Offer, ranges: list[tuple[str, dict[str, str]]]) -> _Preference:
    """Return what the most precise range that covers `offer` says; q 0 when none does."""
    best = _Preference(0.0, _NOT_COVERED)
    for name, parameters in ranges:
        precision = _precision(offer, name.lower(), parameters.get("version"))
        if precision > best.precision:
            best = _Preference(_quality(parameters), precision)
    return best


def _precision(offer: _Offer, name: str, version: str | None) -> int:
    if name == f"{offer.kind}/{offer.subtype}":
        if version is None:
            return _NAMED
        return _VERSIONED if version == offer.version else _NOT_COVERED
    if name == f"{offer.kind}/*":
        return _OF_KIND
    return _ANY if name == "*/*" else _NOT_COVERED


def _quality(parameters: dict[str, str]) -> float:
    """Return the q of one range, 0 to 1; a q that is no number counts as 0."""
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
    return min(max(quality, 0.0), 1.0) if quality == quality else 0.0  # noqa: PLR0124 -- NaN is no wish
