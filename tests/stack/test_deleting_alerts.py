"""A project deletes alerts that botmetry ships: nothing is drawn of them, and what is left of them is named."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from botmetry.cli import main
from botmetry.stack.checks.dashboards import check_dashboards
from botmetry.stack.checks.routing import check_routing
from botmetry.stack.checks.rule_tests import check_rule_tests
from botmetry.stack.checks.runbooks import check_runbooks
from botmetry.stack.dashboards import boards
from botmetry.stack.files import StackFiles
from botmetry.stack.rulebook import read_rulebook

CELERY = {"CeleryWorkersGone", "CeleryQueueNotDrained", "CeleryBeatStalled"}
SAGAS = {"SagaCompensationFailed", "SagaStandsStill", "SagaNotTakenUp", "SagaNotFinishing"}


def test_a_team_without_celery(
    tmp_path: Path, program: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """After init, the group is deleted with its tests and pages; render and check are content, and so is promtool."""
    assert main(["init", str(tmp_path), "--name", "shop", "--service", "shop-bot=8000"]) == 0
    files = StackFiles(tmp_path)
    workers = _panel(files, "Workers")
    assert "Alert CeleryWorkersGone: " in workers["description"]
    assert _delete_group(files, "celery") == CELERY
    (files.monitoring / "tests" / "celery.yml").unlink()
    for name in CELERY:
        (files.runbooks / f"{name}.md").unlink()

    capsys.readouterr()
    assert main(["render", "--project", str(tmp_path)]) == 0
    assert "botmetry-jobs.json" in capsys.readouterr().out
    assert main(["check", "--project", str(tmp_path)]) == 0, capsys.readouterr().out
    texts = [path.read_text("utf-8") for path in files.dashboards.glob("*.json")]
    assert not [name for name in CELERY for text in texts if name in text]
    plain = _panel(files, "Workers")
    assert plain["description"] == workers["description"].partition(" Alert ")[0]
    assert [step["value"] for step in plain["fieldConfig"]["defaults"]["thresholds"]["steps"]] == [None]
    promtool = program("promtool")
    tests = [str(path) for path in files.rule_tests]
    for arguments in (["check", "config", str(files.prometheus)], ["test", "rules", *tests]):
        done = subprocess.run(
            [promtool, *arguments], cwd=files.monitoring, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_left_of_a_deleted_alert_is_named(copy: StackFiles) -> None:
    """Its page, its tests and the lines of dashboards that were not rendered again are problems."""
    _delete_group(copy, "celery")
    rules = read_rulebook(copy)
    assert rules.deleted == CELERY
    pages = {problem.path.stem: problem.message for problem in check_runbooks(copy, rules)}
    assert pages == {name: f"there is no alert {name}" for name in CELERY}
    cases = list(check_rule_tests(copy, rules))
    assert {problem.path.name for problem in cases} == {"celery.yml"}
    assert {problem.message for problem in cases} == set(pages.values())
    said = {problem.message for problem in check_dashboards(copy, rules)}
    assert "Workers: alerts.yml no longer has CeleryWorkersGone; run `botmetry render`" in said


def test_every_alert_can_be_deleted(copy: StackFiles) -> None:
    """Without any alert every dashboard can be made, and draws no line but those of the service levels."""
    copy.alerts.write_text("groups: []\n", "utf-8")
    rules = read_rulebook(copy)
    drawn = {name for board in boards(rules) for name in re.findall(r"Alert (\w+): ", board.encode())}
    assert drawn
    assert drawn <= rules.alerts.keys()


def test_an_inhibition_by_a_deleted_alert(copy: StackFiles) -> None:
    """An inhibition that can match nothing any more is told in one line, which says to remove it."""
    assert _delete_group(copy, "saga") == SAGAS
    matcher = 'alertname = "SagaCompensationFailed"'
    assert _routing(copy) == {
        matcher: f"alerts.yml no longer has what {matcher} matches; remove this inhibit rule"
    }
    text = copy.alertmanager.read_text("utf-8")
    start = text.index('  - source_matchers: [alertname = "SagaCompensationFailed"]')
    copy.alertmanager.write_text(text[:start] + text[text.index("receivers:") :], "utf-8")
    assert _routing(copy) == {}


def test_an_inhibition_by_a_misspelt_alert(copy: StackFiles) -> None:
    """A name that botmetry does not ship either is a mistake, beside a deleted one, too."""
    _delete_group(copy, "targets")
    assert "remove this inhibit rule" in "".join(_routing(copy).values())
    text = copy.alertmanager.read_text("utf-8")
    copy.alertmanager.write_text(text.replace("TargetDown|TargetMissing", "TargetDown|TargetMising"), "utf-8")
    messages = {problem.message for problem in check_routing(copy, read_rulebook(copy))}
    assert messages == {
        f"no alert has the alertname {name}; correct it, or remove it here"
        for name in ("TargetDown", "TargetMising")
    }


def _delete_group(files: StackFiles, group: str) -> set[str]:
    """Take a group out of the alerts, as an editor does; return the names of its alerts."""
    text = files.alerts.read_text("utf-8")
    (found,) = re.findall(rf"^  - name: {group}\n(?:(?!  - name:).*\n)+", text, re.MULTILINE)
    files.alerts.write_text(text.replace(found, ""), "utf-8")
    return set(re.findall(r"- alert: (\w+)", found))


def _panel(files: StackFiles, title: str) -> dict[str, Any]:
    board = json.loads((files.dashboards / "botmetry-jobs.json").read_text("utf-8"))
    return next(panel for panel in board["panels"] if panel["title"] == title)


def _routing(files: StackFiles) -> dict[str, str]:
    """Return what is said of the routing, by the matcher on whose line it stands."""
    lines = files.alertmanager.read_text("utf-8").splitlines()
    return {
        re.findall(r"\w+ =~? \"[^\"]+\"", lines[problem.line - 1])[0]: problem.message
        for problem in check_routing(files, read_rulebook(files))
    }
