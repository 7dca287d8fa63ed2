"""The rule files: read as data, and rendered with short windows for a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from botmetry.errors import StackError
from botmetry.stack.located import read_yaml
from botmetry.stack.pace import REAL, Pace

__all__ = ["each_rule", "read_rules", "render_rules"]

Rule = dict[str, Any]


def read_rules(path: Path) -> dict[str, Any]:
    """Read a rule file.

    Raises:
        StackError: It is missing or not a rule file.
    """
    document = read_yaml(path)
    if not isinstance(document, dict) or not isinstance(document.get("groups"), list):
        raise StackError(f"{path}: a rule file starts with `groups:`")
    return document


def each_rule(document: dict[str, Any]) -> Iterator[Rule]:
    """Yield the rules of a rule file, group after group."""
    for group in document["groups"]:
        yield from group["rules"]


def render_rules(source: Path, target: Path, pace: Pace = REAL) -> None:
    """Write `source` to `target` with its windows and waits capped at `pace`; thresholds stay.

    Raises:
        StackError: `source` is missing or not a rule file.
    """
    document = read_rules(source)
    for group in document["groups"]:
        if pace.interval is not None and "interval" in group:
            group["interval"] = pace.interval
    for rule in each_rule(document):
        rule["expr"] = pace.expression(rule["expr"])
        for wait in ("for", "keep_firing_for"):
            if wait in rule:
                rule[wait] = pace.held(str(rule[wait]))
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
    target.write_text(f"# Rendered from {source.name}; edit that file.\n{text}", "utf-8")
