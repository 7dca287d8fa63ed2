"""The catalogue, the rules and the dashboards speak of the same metrics."""

import pytest

from botmetry.metrics import CATALOGUE
from botmetry.stack.check import check_stack, unshown
from botmetry.stack.checks.dashboards import shown_metrics
from botmetry.stack.files import StackFiles
from botmetry.stack.rulebook import read_rulebook
from botmetry.stack.series import EXTERNAL

# Promised to users in these words, whatever the rule files say.
PROMISED = {
    "BotHighErrorRate": ("> 0.1", {"bot_errors_total"}),
    "AILowConfidence": ("> 0.5", {"ai_confirmations_total"}),
    "QueueBacklog": ("> 100", {"queue_size"}),
    "AISlowProcessing": ("> 10", {"ai_request_duration_seconds"}),
    "DatabaseSlowQueries": ("> 2", {"db_query_duration_seconds"}),
    "RedisConnectionErrors": ("> 0", {"redis_connection_errors_total"}),
    "BotNoActiveUsers": ("== 0", {"bot_active_users"}),
}


def test_the_stack_has_no_problem(files: StackFiles) -> None:
    """Every rule, panel, runbook query and promtool test names metrics and labels that exist, rightly used."""
    report = check_stack(files, programs=False)
    assert [str(problem) for problem in report.problems] == []


def test_every_metric_is_shown(files: StackFiles) -> None:
    """A metric that is emitted is shown on some dashboard."""
    assert unshown(files) == set()


def test_only_what_is_emitted_is_shown(files: StackFiles) -> None:
    """Whatever a dashboard shows is in the catalogue, recorded, or listed as another program's."""
    rules = read_rulebook(files)
    known = CATALOGUE.keys() | {spec.name for spec in EXTERNAL} | rules.recordings.keys()
    assert shown_metrics(files, rules) <= known


@pytest.mark.parametrize("alert", PROMISED)
def test_promised_alerts(files: StackFiles, alert: str) -> None:
    """The seven promised alerts exist with the promised thresholds over the promised metrics."""
    threshold, metrics = PROMISED[alert]
    found = read_rulebook(files).alerts[alert]
    assert str(found.threshold) == threshold
    assert metrics <= found.examined.metrics  # a guard may read others


def test_other_programs_series_do_not_hide_ours() -> None:
    """A name in the list of other programs' series is not one of the catalogue."""
    assert {spec.name for spec in EXTERNAL} & CATALOGUE.keys() == set()
