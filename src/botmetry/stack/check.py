"""The whole stack against the catalogue and against itself, without a network and without a running program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from botmetry.errors import StackError
from botmetry.metrics import CATALOGUE
from botmetry.stack.checks.configurations import check_configurations
from botmetry.stack.checks.dashboards import check_dashboards, shown_metrics
from botmetry.stack.checks.problem import Problem, problem_of
from botmetry.stack.checks.programs import (
    check_with_amtool,
    check_with_promtool,
    check_with_servers,
    missing_programs,
)
from botmetry.stack.checks.routing import check_routing
from botmetry.stack.checks.rule_tests import check_rule_tests
from botmetry.stack.checks.rules import check_alerts, check_log_alerts, check_recordings
from botmetry.stack.checks.runbooks import check_runbooks
from botmetry.stack.files import StackFiles
from botmetry.stack.rulebook import Rulebook, read_rulebook
from botmetry.stack.slo import read_service_levels

__all__ = ["Report", "check_stack", "unshown"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        problems: What is wrong, by file and line.
        unchecked: Programs that are not installed, so that their part was left out.
    """

    problems: tuple[Problem, ...]
    unchecked: tuple[str, ...]


def check_stack(files: StackFiles, *, programs: bool = True) -> Report:
    """Check every file of the stack.

    Args:
        files: The project's files.
        programs: Also ask promtool and amtool, and Loki, Promtail, Alloy and Tempo, where they are installed.

    Raises:
        StackError: A file is missing or cannot be parsed; the message names it and the line.
    """
    rules = read_rulebook(files)
    problems = [*_own(files, rules)]
    missing = missing_programs() if programs else []
    # What is wrong in a rule file makes promtool fail in every file that includes it: once is enough.
    sound = not any(problem.path in files.rules for problem in problems)
    if programs and sound and "promtool" not in missing:
        problems += check_with_promtool(files)
    if programs and "amtool" not in missing:
        problems += check_with_amtool(files)
    if programs:
        problems += check_with_servers(files)
    return Report(tuple(sorted(set(problems))), tuple(missing))


def unshown(files: StackFiles) -> set[str]:
    """Return the catalogue's metrics that no dashboard shows."""
    return CATALOGUE.keys() - shown_metrics(files, read_rulebook(files))


def _own(files: StackFiles, rules: Rulebook) -> Iterator[Problem]:
    yield from check_configurations(files)
    yield from read_service_levels(files).problems
    yield from check_recordings(files, rules)
    yield from check_alerts(files, rules)
    yield from check_log_alerts(files)
    yield from check_routing(files, rules)
    yield from check_rule_tests(files, rules)
    yield from check_runbooks(files, rules)
    try:
        yield from check_dashboards(files, rules)
    except StackError as error:
        # A rule that lost its threshold or name also stops the generator: one problem, not the end of the check.
        problem = problem_of(error, files.root, files.alerts)
        yield replace(problem, message=f"nothing can be generated: {problem.message}")
    for name in sorted(unshown(files)):
        yield Problem(files.dashboards, 1, f"no dashboard shows {name}")
