"""Breaking one thing in any file makes the check fail, with that file and that line."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from botmetry.cli import main
from botmetry.stack.check import check_stack
from botmetry.stack.files import StackFiles


@dataclass(frozen=True)
class Break:
    """Replace the first `old` after `after` in `path`; the check then says `message` about that line."""

    path: str
    old: str
    new: str
    message: str
    after: str = ""
    at: str = ""  # where it is reported when not on the changed line


ALERTS, OVERVIEW = "monitoring/alerts.yml", "grafana/dashboards/botmetry-overview.json"
LOGS = "grafana/dashboards/botmetry-logs.json"
TESTS, RUNBOOK = "monitoring/tests/bot.yml", "monitoring/runbooks/QueueBacklog.md"

BREAKS = {
    "a metric's name in an alert": Break(ALERTS, "bot_errors_total", "bot_error_total", "emitted by nobody"),
    "a label in an alert": Break(ALERTS, 'window="5m"', 'windows="5m"', "has no label windows"),
    "a grouping in an alert": Break(
        ALERTS, "by (service, queue)", "by (service, kew)", "no such label", after="QueueBacklog"
    ),
    "a rate that was taken away": Break(
        ALERTS, "increase(redis_connection_errors_total[5m])", "redis_connection_errors_total", "is a counter"
    ),
    "le that was taken away": Break(ALERTS, "operation, table, le)", "operation, table)", "drops le"),
    "a threshold between two bounds": Break(
        ALERTS, "[5m]))) > 2", "[5m]))) > 3", "no bucket bound", after="DatabaseSlowQueries"
    ),
    "a threshold that dashboards draw": Break(
        ALERTS, "> 100", "> 150", "draws no line where QueueBacklog begins", at=OVERVIEW
    ),
    "a severity": Break(ALERTS, "severity: critical", "severity: page", "severity page is none of"),
    "a label that routes": Break(
        ALERTS, "component: bot\n", "team: bot\n", "has no label component", at="alert: Bot"
    ),
    "a template's label": Break(ALERTS, "{{ $labels.queue }}", "{{ $labels.name }}", "yields no label name"),
    "a runbook's link": Break(ALERTS, "/user/BotHighErrorRate.md", "/user/BotErrors.md", "is served as"),
    "a dashboard's link": Break(ALERTS, "/d/botmetry-redis", "/d/redis", "there is no dashboard redis"),
    "a dashboard's variable": Break(ALERTS, "&var-queue=", "&var-kew=", "has no variable for var-kew"),
    "an alert's name": Break(
        ALERTS,
        "alert: QueueDeadLetters",
        "alert: QueueDead",
        "there is no alert QueueDeadLetters",
        at=RUNBOOK[:20],
    ),
    "an alert without a wait": Break(
        ALERTS, "        for: 2m\n", "", "say how long", at="alert: BotHighErrorRate"
    ),
    "a metric in a recording": Break(
        "monitoring/recording.yml", "ai_cost_usd_total", "ai_cost_eur_total", "emitted by nobody"
    ),
    "a recording's name": Break(
        "monitoring/recording.yml",
        "service_model:ai_cost_usd:increase1d",
        "ai_cost_usd_day",
        "level:metric:operation",
    ),
    "a metric in a dashboard": Break(
        OVERVIEW, "bot_requests_total{", "bot_request_total{", "emitted by nobody", after='"panels"'
    ),
    "a label in a dashboard": Break(
        OVERVIEW, "by (command, outcome)", "by (command, result)", "no such label"
    ),
    "a threshold in a dashboard": Break(
        OVERVIEW, '"value": 100', '"value": 90', "draws no line where QueueBacklog"
    ),
    "a unit in a dashboard": Break(OVERVIEW, '"unit": "s"', '"unit": "ms"', "where `botmetry render` writes"),
    "a metric in a promtool test": Break(TESTS, "bot_errors_total", "bot_eror_total", "which nobody emits"),
    "a label in a promtool test": Break(TESTS, 'command="balance"', 'order="balance"', "has no label order"),
    "a query in a runbook": Break(
        RUNBOOK, "queue_size{", "queue_length{", "emitted by nobody", at="queue_length"
    ),
    "a threshold in a runbook": Break(RUNBOOK, "> 100", "> 90", "the alert's own expression"),
    "a panel in a runbook": Break(RUNBOOK, "/ In and out]", "/ Inout]", "has no panel Inout"),
    "a section of a runbook": Break(
        RUNBOOK, "## Impact", "## Damage", "has no section `## Impact`", at="# QueueBacklog"
    ),
    # The rules of grafana/dashboard-linter.
    "uneditable-dashboard": Break(
        OVERVIEW, '"editable": false', '"editable": true', "(uneditable-dashboard)"
    ),
    "template-datasource-rule": Break(
        OVERVIEW, '"label": "Prometheus data source"', '"label": "Source"', "(template-datasource-rule)"
    ),
    "template-job-rule": Break(OVERVIEW, '"label": "Job"', '"label": "Jobs"', "(template-job-rule)"),
    "template-instance-rule": Break(
        OVERVIEW, '"label": "Instance"', '"label": "Process"', "(template-instance-rule)"
    ),
    "template-label-promql-rule": Break(
        OVERVIEW,
        "label_values(botmetry_build_info",
        "label_values(build_info",
        "(template-label-promql-rule)",
    ),
    "template-on-time-change-reload-rule": Break(
        OVERVIEW, '"refresh": 2', '"refresh": 1', "(template-on-time-change-reload-rule)"
    ),
    "panel-datasource-rule": Break(
        OVERVIEW,
        '"uid": "${prometheus_datasource}"',
        '"uid": "prometheus"',
        "(panel-datasource-rule)",
        after='"panels"',
    ),
    "panel-title-description-rule": Break(
        OVERVIEW,
        '"description": "Commands handled a second."',
        '"description": ""',
        "(panel-title-description-rule)",
    ),
    "panel-units-rule": Break(OVERVIEW, '"unit": "s"', '"unit": "sec"', "(panel-units-rule)"),
    "panel-no-targets-rule": Break(
        OVERVIEW, '"targets": [', '"asks": [', "(panel-no-targets-rule)", at=OVERVIEW
    ),
    "target-promql-rule": Break(OVERVIEW, "sum(rate(bot_", "sum(rate((bot_", "not PromQL"),
    "target-rate-interval-rule": Break(OVERVIEW, "[$__rate_interval]", "[5m]", "(target-rate-interval-rule)"),
    "target-job-rule": Break(OVERVIEW, 'job=~\\"$job\\",', "", "(target-job-rule)", after='"panels"'),
    "target-instance-rule": Break(
        OVERVIEW,
        'instance=~\\"$instance\\"',
        'instance=\\"$instance\\"',
        "(target-instance-rule)",
        after='"panels"',
    ),
    "target-counter-agg-rule": Break(
        OVERVIEW, "sum(rate(bot_requests_total", "sum(delta(bot_requests_total", "(target-counter-agg-rule)"
    ),
    "target-logql-rule": Break(LOGS, 'job=\\"midas\\"', 'job==\\"midas\\"', "(target-logql-rule)"),
    "target-logql-auto-rule": Break(LOGS, "[$__auto]", "[5m]", "(target-logql-auto-rule)"),
    # Those of the house.
    "a dashboard's uid": Break(
        OVERVIEW, '"uid": "botmetry-overview"', '"uid": "overview"', "the uid is that of the file"
    ),
    "a dashboard's tags": Break(OVERVIEW, '"bot"\n', '"botmetry"\n', "where `botmetry render` writes"),
    "a refId": Break(OVERVIEW, '"refId": "B"', '"refId": "A"', "a refId of its own"),
    "a panel's id": Break(OVERVIEW, '"id": 5,', '"id": 4,', "an id of its own"),
    "a panel's title": Break(
        OVERVIEW, '"title": "Errors"', '"title": "Commands"', "another panel", at=OVERVIEW
    ),
    "a unit that a metric does not have": Break(
        OVERVIEW, '"unit": "percentunit"', '"unit": "s"', "shows s where"
    ),
    "a link to a dashboard": Break(
        OVERVIEW, "/d/botmetry-ai?", "/d/botmetry-ki?", "there is no dashboard botmetry-ki"
    ),
    "a variable of a link": Break(OVERVIEW, "&var-search=", "&var-find=", "has no variable find"),
    "the ways to logs and traces": Break(
        OVERVIEW,
        "/d/botmetry-logs?",
        "/d/botmetry-redis?",
        "leads neither to logs",
        after="How many updates arrived how late.",
        at=OVERVIEW,
    ),
    "the first row": Break(
        OVERVIEW, '"title": "Is it fine?"', '"title": "Numbers"', "the first row is called"
    ),
    "exemplars": Break(
        OVERVIEW,
        '"exemplar": true',
        '"exemplar": false',
        "without its exemplars",
        after="Time in the handler.",
    ),
    "the mark of alerts": Break(OVERVIEW, "ALERTS{", "up{", "marks no alerts", at=OVERVIEW),
    "a limit in a description": Break(
        ALERTS, "(limit 0.1)", "(limit 0.2)", "its description says", at="expr:"
    ),
    "LogQL in a runbook": Break(
        RUNBOOK, 'service="midas-worker"} |', 'servise="midas-worker"} |', "is no label of a stream"
    ),
    "the project in a runbook": Break(
        RUNBOOK, '{job="midas"', '{job="shop"', 'the agents write job="midas"', after="```logql"
    ),
    "the project in an alert of the logs": Break(
        "monitoring/loki-rules/fake/alerts.yml", 'job="midas"', 'job="shop"', "the agents write job"
    ),
    "an alert of the logs": Break(
        "monitoring/loki-rules/fake/alerts.yml",
        "      severity: critical\n",
        "",
        "has no label severity",
        at="alert: ",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_breaking_is_found(copy: StackFiles, name: str) -> None:
    """Each broken name, label, kind, threshold, link or page is reported where it stands."""
    broken = BREAKS[name]
    path = copy.root / broken.path
    text = path.read_text("utf-8")
    start = text.index(broken.old, text.index(broken.after))
    path.write_text(text[:start] + broken.new + text[start + len(broken.old) :], "utf-8")
    found = [f"{copy.relative(problem.path)}:{problem.line}" for problem in _matching(copy, broken.message)]
    assert found, [str(problem) for problem in check_stack(copy, programs=False).problems]
    if not broken.at:
        assert f"{broken.path}:{text.count(chr(10), 0, start) + 1}" in found
    elif not any(place.startswith(broken.at) for place in found):
        lines = path.read_text("utf-8").splitlines()
        assert any(broken.at in lines[int(place.rpartition(":")[2]) - 1] for place in found)


def test_a_runbook_that_is_missing(copy: StackFiles) -> None:
    """An alert without its page is reported at the alert's link."""
    (copy.runbooks / "Watchdog.md").unlink()
    problems = list(_matching(copy, "Watchdog has no runbook"))
    lines = copy.alerts.read_text("utf-8").splitlines()
    assert [problem.path for problem in problems] == [copy.alerts]
    assert "/user/Watchdog.md" in lines[problems[0].line - 1]


def test_an_alert_that_is_never_tested(copy: StackFiles) -> None:
    """An alert needs a promtool test in which it fires and one in which it stays silent."""
    (copy.monitoring / "tests" / "stores.yml").unlink()
    said = {problem.message for problem in _matching(copy, "has no promtool test")}
    assert {message.split(" ", 1)[0] for message in said} == {
        "DatabaseConnectionErrors",
        "DatabaseSlowQueries",
        "RedisConnectionErrors",
    }
    assert len(said) == 6


def test_a_metric_that_nobody_shows(copy: StackFiles) -> None:
    """Taking the only panel of a metric away is a problem."""
    (copy.dashboards / "botmetry-redis.json").unlink()
    said = {problem.message for problem in _matching(copy, "no dashboard shows")}
    assert "no dashboard shows redis_connection_errors_total" in said


def test_the_command_names_file_and_line(copy: StackFiles, capsys: pytest.CaptureFixture[str]) -> None:
    """`botmetry check` prints file:line: message, relative to the project, and exits with 1."""
    path = copy.alerts
    path.write_text(path.read_text("utf-8").replace("bot_errors_total", "bot_error_total"), "utf-8")
    assert main(["check", "--project", str(copy.root)]) == 1
    captured = capsys.readouterr()
    assert "monitoring/alerts.yml:15: BotHighErrorRate: bot_error_total is emitted by nobody" in captured.out
    assert "problem" in captured.err


def test_a_file_that_cannot_be_parsed(copy: StackFiles, capsys: pytest.CaptureFixture[str]) -> None:
    """Broken YAML is one line with the file and the line, not a traceback."""
    copy.alerts.write_text("groups:\n  - name: [\n", "utf-8")
    assert main(["check", "--project", str(copy.root)]) == 2
    assert f"botmetry: {copy.alerts}:3:" in capsys.readouterr().err


def _matching(files: StackFiles, message: str) -> Iterator:
    return (problem for problem in check_stack(files, programs=False).problems if message in problem.message)
