"""The rules in the hands of Prometheus' own tool, and with short windows."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from botmetry.errors import StackError
from botmetry.stack.checks.programs import check_with_promtool
from botmetry.stack.files import StackFiles
from botmetry.stack.pace import REAL, Pace
from botmetry.stack.rulebook import read_rulebook
from botmetry.stack.rules import each_rule, read_rules, render_rules

SHORT = Pace(interval="2s", window="20s", hold="2s")


def test_promtool_accepts_configuration_rules_and_their_tests(
    files: StackFiles, program: Callable[[str], str]
) -> None:
    """Every alert fires and stays silent as its promtool tests say, annotations included."""
    program("promtool")
    assert [str(problem) for problem in check_with_promtool(files)] == []


def test_a_failing_promtool_test_is_found(copy: StackFiles, program: Callable[[str], str]) -> None:
    """A promtool test whose expectation is wrong is reported at that test."""
    program("promtool")
    path = copy.monitoring / "tests" / "queue.yml"
    text = path.read_text("utf-8").replace("101 tasks wait in queue ai", "102 tasks wait in queue ai")
    path.write_text(text, "utf-8")
    (problem,) = check_with_promtool(copy)
    assert problem.path == path
    assert "101 waiting tasks fire once" in text.splitlines()[problem.line - 1]


def test_rendered_rules_keep_every_threshold(copy: StackFiles, program: Callable[[str], str]) -> None:
    """With short windows each alert still begins where it is written to begin, and Prometheus accepts the files."""
    before = read_rulebook(copy)
    for path in copy.rules:
        render_rules(path, path, SHORT)
    after = read_rulebook(copy)
    assert {name: str(alert.threshold) for name, alert in after.alerts.items()} == {
        name: str(alert.threshold) for name, alert in before.alerts.items()
    }
    command = [program("promtool"), "check", "rules", *map(str, copy.rules)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rendered_rules_wait_no_longer_than_asked(files: StackFiles, tmp_path: Path) -> None:
    """No window is longer than 20 s, nothing waits longer than 2 s, and nothing that was short became longer."""
    target = tmp_path / "alerts.yml"
    render_rules(files.alerts, target, SHORT)
    for rule in each_rule(read_rules(target)):
        assert "[5m]" not in rule["expr"]
        assert "offset 15m" not in rule["expr"]
        assert rule["for"] in {"2s", "0s"}
        assert rule.get("keep_firing_for", "2s") == "2s"


def test_rendering_at_full_pace_changes_nothing(files: StackFiles, tmp_path: Path) -> None:
    """Without a pace the rendered rules are the written ones."""
    target = tmp_path / "alerts.yml"
    render_rules(files.alerts, target, REAL)
    assert read_rules(target) == read_rules(files.alerts)


@pytest.mark.parametrize(
    ("expr", "short"),
    [
        ("rate(x[5m])", "rate(x[20s])"),
        ("rate(x[10s])", "rate(x[10s])"),
        ("max_over_time(x[1h30m:1m])", "max_over_time(x[20s:1m])"),
        ("max_over_time(x[5m:])", "max_over_time(x[20s:])"),
        ("x offset 15m > 300", "x offset 20s > 300"),
        ('x{window="5m"} == 0', 'x{window="5m"} == 0'),
    ],
)
def test_only_ranges_and_offsets_are_shortened(expr: str, short: str) -> None:
    """A label value or number that looks like a duration stays."""
    assert SHORT.expression(expr) == short


def test_a_pace_in_the_wrong_words() -> None:
    """What is no duration is an error that names it."""
    with pytest.raises(StackError, match="window='20 seconds' is not a duration"):
        Pace(window="20 seconds")
