"""Runbooks: a page an alert, whose queries run and whose panels exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import promql_parser as promql

from botmetry.stack.checks.dashboards import panels_of
from botmetry.stack.checks.logql import examine_logql, foreign_jobs
from botmetry.stack.checks.problem import Problem
from botmetry.stack.checks.promql import examine
from botmetry.stack.files import StackFiles
from botmetry.stack.located import read_located
from botmetry.stack.naming import project_name
from botmetry.stack.rulebook import Alert, Rulebook
from botmetry.stack.rules import each_rule, read_rules

__all__ = ["check_runbooks"]

_HEADINGS = ("Meaning", "Impact", "How to see it", "Causes, likeliest first", "What to do", "False alarms")
_PANEL = re.compile(r"\[([^\]/]+) / ([^\]]+)\]\(http://localhost:3000/d/([\w-]+)\)")
_BOARD = re.compile(r"\(http://localhost:3000/d/([\w-]+)[)?]")
_FENCE = re.compile(r"```(\w*)\s*")


@dataclass(frozen=True, slots=True)
class _Block:
    language: str
    text: str
    line: int

    def line_of(self, token: str) -> int:
        """Return the first line that has `token` as a word, else the block's first."""
        word = re.compile(rf"(?<![\w:]){re.escape(token)}(?![\w:])")
        lines = self.text.splitlines() if token else []
        return next((self.line + at for at, line in enumerate(lines) if word.search(line)), self.line)

    def first_unlike(self, text: str) -> int:
        """Return the first line that differs from the line in its place in `text`."""
        pairs = zip_longest(self.text.splitlines(), text.splitlines(), fillvalue="")
        return self.line + next(
            (at for at, (own, other) in enumerate(pairs) if own.strip() != other.strip()), 0
        )


def check_runbooks(files: StackFiles, rules: Rulebook) -> Iterator[Problem]:
    """Yield what is wrong with the runbook pages."""
    titles = _titles(files)
    from_logs = {rule["alert"] for path in files.log_rules for rule in each_rule(read_rules(path))}
    for page in sorted(files.runbooks.glob("*.md")):
        lines = page.read_text("utf-8").splitlines()
        if page.stem not in rules.alerts and page.stem not in from_logs:
            yield Problem(page, 1, f"there is no alert {page.stem}")
            continue
        if not lines or lines[0] != f"# {page.stem}":
            yield Problem(page, 1, f"a runbook begins with its alert: # {page.stem}")
        for heading in _HEADINGS:
            if f"## {heading}" not in lines:
                yield Problem(page, 1, f"has no section `## {heading}`")
        yield from _queries(page, lines, rules.alerts.get(page.stem), rules, project_name(files))
        yield from _panels(page, lines, titles)


def _queries(
    page: Path, lines: list[str], alert: Alert | None, rules: Rulebook, project: str
) -> Iterator[Problem]:
    found = list(_blocks(lines))
    for block in found:
        if block.language == "logql":
            for message in (*examine_logql(block.text), *foreign_jobs(block.text, project)):
                yield Problem(page, block.line, message)
    blocks = [block for block in found if block.language == "promql"]
    for block in blocks:
        for finding in examine(block.text, rules.series).findings:
            yield Problem(page, block.line_of(finding.token), finding.message)
    if alert is None:
        return
    expr = alert.rule.get("expr")
    wanted = _normal(expr.text) if expr is not None else ""
    if not blocks or _normal(blocks[0].text) != wanted:
        line = blocks[0].first_unlike(expr.text if expr is not None else "") if blocks else 1
        yield Problem(page, line, f"the first promql block is the alert's own expression, which is: {wanted}")


def _panels(page: Path, lines: list[str], titles: dict[str, tuple[str, set[str]]]) -> Iterator[Problem]:
    found = False
    for number, line in enumerate(lines, start=1):
        for uid in _BOARD.findall(line):
            if uid not in titles:
                yield Problem(page, number, f"there is no dashboard {uid}")
        for dashboard, panel, uid in _PANEL.findall(line):
            found = True
            title, panels = titles.get(uid, ("", set()))
            if title and title != dashboard:
                yield Problem(page, number, f"dashboard {uid} is called {title}")
            elif title and panel not in panels:
                yield Problem(page, number, f"{dashboard} has no panel {panel}")
    if not found:
        yield Problem(page, 1, "names no panel: [Dashboard / Panel](http://localhost:3000/d/uid)")


def _titles(files: StackFiles) -> dict[str, tuple[str, set[str]]]:
    titles: dict[str, tuple[str, set[str]]] = {}
    for path in files.dashboards.glob("*.json"):
        document = read_located(path)
        names = [(panel.get("title") or panel).text for panel in panels_of(document)]
        titles[path.stem] = ((document.get("title") or document).text, set(names))
    return titles


def _blocks(lines: list[str]) -> Iterator[_Block]:
    language, start = "", 0
    for number, line in enumerate(lines, start=1):
        # Within a list a block is indented.
        fence = _FENCE.fullmatch(line.strip())
        if fence is None:
            continue
        if start:
            yield _Block(language, "\n".join(lines[start : number - 1]), start + 1)
            start = 0
        else:
            language, start = fence[1], number


def _normal(expr: str) -> str:
    try:
        return str(promql.parse(expr))
    except ValueError:
        return expr
