"""How fast a stack runs: the same rules and routes with shorter windows, for tests that cannot wait minutes.

Windows and waits are capped, thresholds are never touched: a rate of 0.1 per second is the same rate over 20 s
as over 5 min.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from botmetry.errors import StackError

__all__ = ["REAL", "Pace", "is_duration", "seconds"]

_DURATION = r"\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*"
_UNITS = {
    "ms": 0.001,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
    "y": 31536000,
}  # as Prometheus has them
_RANGE = re.compile(rf"\[\s*({_DURATION})\s*(?::\s*({_DURATION})?\s*)?\]")
_OFFSET = re.compile(rf"\boffset\s+({_DURATION})")


@dataclass(frozen=True, slots=True)
class Pace:
    """Upper limits for the times in rules and configurations; None leaves them as they are written.

    Attributes:
        interval: How often targets are scraped and rules evaluated, such as "2s".
        window: The longest range and offset in an expression, such as "20s": at least four intervals.
        hold: The longest `for`, `keep_firing_for`, `group_wait` and `group_interval`, such as "2s".

    Raises:
        StackError: A value is not a duration in Prometheus' notation.
    """

    interval: str | None = None
    window: str | None = None
    hold: str | None = None

    def __post_init__(self) -> None:
        for name in ("interval", "window", "hold"):
            value = getattr(self, name)
            if value is not None and not is_duration(value):
                raise StackError(f"{name}={value!r} is not a duration such as 20s or 5m")

    def held(self, duration: str) -> str:
        """Return `duration`, or `hold` when that is shorter."""
        return _shorter(duration, self.hold)

    def expression(self, expr: str) -> str:
        """Return a PromQL expression with its ranges and offsets capped at `window`."""
        expr = _RANGE.sub(lambda match: f"[{_shorter(match[1], self.window)}{_step(match)}]", expr)
        return _OFFSET.sub(lambda match: f"offset {_shorter(match[1], self.window)}", expr)


REAL = Pace()
"""Everything as it is written."""


def is_duration(text: str) -> bool:
    """Say whether `text` is a duration in Prometheus' notation, such as 5m or 1h30m."""
    return re.fullmatch(_DURATION, text) is not None


def seconds(duration: str) -> float:
    """Return the length of a duration in Prometheus' notation."""
    # promql_parser.parse_duration refuses 0s, which a rule may well wait for.
    return sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))


def _shorter(duration: str, limit: str | None) -> str:
    return duration if limit is None or seconds(duration) <= seconds(limit) else limit


def _step(match: re.Match[str]) -> str:
    return "" if ":" not in match[0] else f":{match[2] or ''}"
