"""Each kind of thing, broken in every file of the stack that has it, is found in that file at that line."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from botmetry.stack.check import check_stack
from botmetry.stack.checks.programs import check_with_promtool
from botmetry.stack.files import StackFiles, find_stack
from botmetry.stack.rulebook import read_rulebook

SOURCE = find_stack(Path(__file__))
SERIES = sorted(read_rulebook(SOURCE).series, key=len, reverse=True)
NAMES = "|".join(re.escape(name) for name in SERIES)
# A line that holds a query: in YAML, in a dashboard, in a runbook; a name is followed by what a query goes on with.
NO_QUERY = r'^(?!\s*#)(?!.*(?:"query"|description|alert:|record:|alertname:))'
METRIC = re.compile(rf"{NO_QUERY}(.*?(?<![\w:]))({NAMES})((?:[{{\[)]| [-+*/<>=]|$).*)$")
LABELS = "job|service|state|mode|outcome|method|window|task|queue|slo"
LABEL = re.compile(rf"{NO_QUERY}(?!.*\$labels)(.*?[{{,(]\s*)({LABELS})((?:=|!=|,|\)).*)$")

Line = tuple[int, str]


@dataclass(frozen=True)
class Kind:
    """How a kind of thing is broken in a kind of file: the second group of `matched` is made `wrong`."""

    matched: re.Pattern[str]
    wrong: Callable[[str], str]
    after: str = ""  # a text before which nothing is broken


def unlike(unit: str) -> str:
    return "bytes" if unit == "s" else "s"


def other(number: str) -> str:
    return f"{float(number) * 3 + 0.07:g}"


SLO, SLO_RULES = SOURCE.monitoring / "slo.yml", SOURCE.monitoring / "slo-rules.yml"
GROUPS: dict[str, tuple[Path, ...]] = {
    "rules": (SOURCE.alerts, SOURCE.recording),
    "service levels": (SLO,),
    "generated rules": (SLO_RULES,),
    "dashboards": tuple(sorted(SOURCE.dashboards.glob("*.json"))),
    "runbooks": tuple(sorted(SOURCE.runbooks.glob("*.md"))),
    "rules' tests": SOURCE.rule_tests,
}
RUNBOOK_URL = re.compile(r"^(\s+runbook_url: .*/user/)(\w+)(\.md.*)$")
PANEL_URL = re.compile(r"^(.*\]\(http://localhost:3000/d/)([\w-]+)(\).*)$")
UNIT = re.compile(
    rf"{NO_QUERY}(.*\b[a-z_]+_)(seconds|usd|ratio)((?:_total|_bucket|_sum|_count)?(?:[{{\[)]|$).*)$"
)
LIMIT = re.compile(rf"{NO_QUERY}(.* > )(0\.[0-9]+|[1-9][0-9.]*)(.*)$")
MORE_THAN = re.compile(rf"{NO_QUERY}(.* (?:>|==) (?:bool )?)([0-9.]+)(.*)$")
FED = r"^(\s*-? ?\{?\s*series: "
BREAKERS: dict[tuple[str, str], Kind] = {
    ("rules", "metric"): Kind(METRIC, "{}x".format),
    ("rules", "label"): Kind(LABEL, "{}x".format),
    ("rules", "unit"): Kind(UNIT, "milli{}".format),
    ("rules", "link"): Kind(RUNBOOK_URL, "{}x".format),
    ("rules", "threshold"): Kind(LIMIT, other),
    ("service levels", "metric"): Kind(METRIC, "{}x".format),
    ("service levels", "label"): Kind(LABEL, "{}x".format),
    ("service levels", "unit"): Kind(UNIT, "milli{}".format),
    ("service levels", "threshold"): Kind(re.compile(r"^(\s+threshold: )([0-9.]+)(.*)$"), other),
    ("generated rules", "metric"): Kind(METRIC, "{}x".format),
    ("generated rules", "label"): Kind(LABEL, "{}x".format),
    ("generated rules", "unit"): Kind(UNIT, "milli{}".format),
    ("generated rules", "link"): Kind(RUNBOOK_URL, "{}x".format),
    ("generated rules", "threshold"): Kind(MORE_THAN, other),
    ("dashboards", "metric"): Kind(METRIC, "{}x".format, after='"panels"'),
    ("dashboards", "label"): Kind(
        re.compile(r'^(\s+"expr": .*[{,])(service)(=~.*)$'), "{}x".format, after='"panels"'
    ),
    ("dashboards", "unit"): Kind(re.compile(r'^(\s+"unit": ")(\w+)(".*)$'), unlike),
    ("dashboards", "link"): Kind(re.compile(r'^(\s+"url": "/d/)([\w-]+)(.*)$'), "{}x".format),
    ("dashboards", "threshold"): Kind(re.compile(r'^(\s+"value": )([0-9.e-]+)()$'), other),
    ("runbooks", "metric"): Kind(METRIC, "{}x".format, after="```promql"),
    ("runbooks", "label"): Kind(LABEL, "{}x".format, after="```"),
    ("runbooks", "unit"): Kind(UNIT, "milli{}".format, after="```promql"),
    ("runbooks", "link"): Kind(PANEL_URL, "{}x".format),
    ("runbooks", "threshold"): Kind(MORE_THAN, other, after="```promql"),
    ("rules' tests", "metric"): Kind(re.compile(rf"{FED}.*?)({NAMES})(.*)$"), "{}x".format),
    ("rules' tests", "label"): Kind(re.compile(rf"{FED}.*[{{{{,])(\w+)(=.*)$"), "{}x".format),
    ("rules' tests", "unit"): Kind(
        re.compile(rf"{FED}.*_)(seconds|usd|ratio)((?:_total|_bucket|_sum|_count)?\{{.*)$"), "milli{}".format
    ),
}
# Files that have no such thing; that one has no unit is no exception, and told by the names of its metrics.
WITHOUT = {
    ("link", "monitoring/recording.yml"),
    ("threshold", "monitoring/recording.yml"),
    ("threshold", "grafana/dashboards/botmetry-logs.json"),
    ("label", "monitoring/runbooks/Watchdog.md"),
    ("threshold", "monitoring/runbooks/Watchdog.md"),
    ("threshold", "monitoring/runbooks/ProcessCrashed.md"),
    ("threshold", "monitoring/runbooks/TargetMissing.md"),
}


@cache
def _faults(group: str, kind: str, folder: Path) -> dict[str, tuple[Line | None, frozenset[int]]]:
    """Break every file of a group at once; return by file what was broken, and the lines with problems."""
    breaker = BREAKERS[group, kind]
    root = folder / f"{group}-{kind}"
    for part in ("monitoring", "grafana"):
        shutil.copytree(SOURCE.root / part, root / part, ignore=shutil.ignore_patterns("secrets"))
    shutil.copy(SOURCE.compose, root)
    broken: dict[str, Line | None] = {}
    for path in GROUPS[group]:
        name = SOURCE.relative(path)
        broken[name] = _break(root / name, breaker)
    copied = StackFiles(root)
    lines: dict[str, set[int]] = {}
    for problem in check_stack(copied, programs=False).problems:
        lines.setdefault(copied.relative(problem.path), set()).add(problem.line)
    return {name: (line, frozenset(lines.get(name, ()))) for name, line in broken.items()}


def _broken(text: str, breaker: Kind) -> tuple[int, str] | None:
    """Return the first line that can be broken, from 0, and what becomes of it."""
    lines = text.split("\n")
    begin = next((number for number, line in enumerate(lines) if breaker.after in line), len(lines))
    for number in range(begin, len(lines)):
        match = breaker.matched.match(lines[number])
        if match is not None:
            return number, match[1] + breaker.wrong(match[2]) + match[3]
    return None


def _break(path: Path, breaker: Kind) -> Line | None:
    text = path.read_text("utf-8")
    found = _broken(text, breaker)
    if found is None:
        return None
    lines = text.split("\n")
    lines[found[0]] = found[1]
    path.write_text("\n".join(lines), "utf-8")
    return found[0] + 1, found[1]


EVERYWHERE = [
    (group, kind, SOURCE.relative(path))
    for (group, kind), breaker in BREAKERS.items()
    for path in GROUPS[group]
    if _broken(path.read_text("utf-8"), breaker) is not None
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broken")


@pytest.mark.parametrize(("group", "kind", "name"), EVERYWHERE)
def test_every_file_is_watched(folder: Path, group: str, kind: str, name: str) -> None:
    """A metric, label, unit, link or threshold that breaks, in whichever file, is a problem of that file and line."""
    broken, reported = _faults(group, kind, folder)[name]
    assert broken is not None
    assert broken[0] in reported, f"{broken[1]} was not noticed at line {broken[0]}; problems at {reported}"


def test_nothing_is_left_out() -> None:
    """Each kind of thing is broken in each file that has it; those that have none are known."""
    left = {
        (kind, SOURCE.relative(path))
        for group, kind in BREAKERS
        for path in GROUPS[group]
        if (group, kind, SOURCE.relative(path)) not in EVERYWHERE and kind != "unit"
    }
    assert left == WITHOUT


@pytest.mark.parametrize("name", [path.name for path in SOURCE.rule_tests])
def test_a_number_in_the_rules_tests(copy: StackFiles, program: Callable[[str], str], name: str) -> None:
    """A value that a test expects an alert to tell, broken, fails at that test of that file."""
    program("promtool")
    for path in copy.rule_tests:
        if path.name != name:
            path.unlink()
    (path,) = copy.rule_tests
    text = path.read_text("utf-8")
    match = re.search(r"\n {12,}(?:summary|description): *(?:>-\n *)?", text)
    assert match is not None, "expects no alert's text"
    path.write_text(f"{text[: match.end()]}Not: {text[match.end() :]}", "utf-8")
    problems = [problem for problem in check_with_promtool(copy) if problem.path == path]
    assert [problem.line > 1 for problem in problems] == [True]
