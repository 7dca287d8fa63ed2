"""Where an alert begins, as a line and a colour in a panel."""

from __future__ import annotations

from dataclasses import dataclass

from botmetry.stack.rulebook import Rulebook

__all__ = ["FINE", "JUST_ABOVE_ZERO", "Line", "line_of"]

# Grafana colours a value that equals a threshold as above it; "more than none" has to begin a little higher.
JUST_ABOVE_ZERO = 1e-9

FINE = "green"

_ORANGE, _RED = "orange", "red"
_COLOURS = {"critical": _RED, "warning": _ORANGE}


@dataclass(frozen=True, slots=True)
class Line:
    """Where an alert begins, drawn into a panel.

    Attributes:
        alert: Its name.
        text: The comparison, as people read it.
        steps: Grafana's colours from a value upwards; None is from the bottom.
    """

    alert: str
    text: str
    steps: tuple[tuple[float | None, str], ...]


def line_of(rules: Rulebook, alert: str, *, complement: bool = False) -> Line | None:
    """Return the line of `alert`; with `complement` for a panel that shows one minus what the alert compares.

    An alert that the project deleted has none: the panel is drawn without.

    Raises:
        StackError: There never was such an alert, or it compares with nothing.
    """
    threshold = rules.threshold(alert)
    if threshold is None:
        return None
    severity = rules.alerts[alert].rule.get("labels", "severity")
    colour = _COLOURS.get(severity.text if severity else "", _ORANGE)
    if complement:
        value = round(1 - threshold.value, 9)
        return Line(alert, f"{threshold}, shown as its complement", ((None, colour), (value, FINE)))
    if threshold.operator == "==":
        # Alarming at that value, fine above it.
        return Line(alert, str(threshold), ((None, colour), (threshold.value + 1, FINE)))
    return Line(alert, str(threshold), ((None, FINE), (threshold.value or JUST_ABOVE_ZERO, colour)))
