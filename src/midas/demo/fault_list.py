"""What is told of the faults: what each does, and when its alert comes, as the project's own rules have it."""

from collections.abc import Iterable
from dataclasses import replace

from botmetry.stack.files import find_stack
from botmetry.stack.pace import seconds
from botmetry.stack.rules import each_rule, read_rules
from midas.demo.faults import FAULTS
from midas.demo.figures import Figures

__all__ = ["expectation", "fault_lines", "only_awaited"]


def fault_lines() -> list[str]:
    """Return a line a fault, for ``FAULT=?``.

    Raises:
        StackError: The monitoring files are missing or broken.
    """
    width = max(map(len, FAULTS))
    return [f"{name:<{width}}  {about.what}; {expectation(about.alert)}" for name, about in FAULTS.items()]


def expectation(alert: str) -> str:
    """Say that an alert should fire and, where its rule waits, how long its condition has to hold before.

    Raises:
        StackError: The monitoring files are missing or broken.
    """
    rules = each_rule(read_rules(find_stack().alerts))
    hold = next((str(rule.get("for", "0s")) for rule in rules if rule.get("alert") == alert), "0s")
    return f"{alert} should fire" + (f" once that has lasted {hold}" if seconds(hold) else "")


def only_awaited(figures: Figures, faults: Iterable[str]) -> Figures:
    """Keep of the pending alerts those of the faults that are on: others come and go while everything starts."""
    awaited = {FAULTS[name].alert for name in faults}
    return replace(figures, pending=tuple(name for name in figures.pending if name in awaited))
