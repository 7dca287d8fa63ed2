"""What the programs of the stack have to agree on, broken in their configurations, is found at that line."""

from collections.abc import Callable

import pytest

from botmetry.stack.check import check_stack
from botmetry.stack.checks.programs import check_with_amtool
from botmetry.stack.checks.routing import check_routing
from botmetry.stack.files import StackFiles
from botmetry.stack.rulebook import read_rulebook

ALERTMANAGER, COMPOSE = "monitoring/alertmanager.yml", "docker-compose.monitoring.yml"
PROMETHEUS, SOURCES = "monitoring/prometheus.yml", "grafana/provisioning/datasources/datasources.yml"
TEMPLATES = "monitoring/templates/botmetry.tmpl"
# File, what stands there, what is put in its place, what is said.
BREAKS = {
    "a route's alert": (
        ALERTMANAGER,
        'matchers: [alertname = "Watchdog"]',
        'matchers: [alertname = "Wachdog"]',
        "no alert has the alertname Wachdog",
    ),
    "a route's severity": (
        ALERTMANAGER,
        'matchers: [severity = "critical"]\n',
        'matchers: [severity = "critcal"]\n',
        "no alert has the severity critcal",
    ),
    "a route's label": (
        ALERTMANAGER,
        "group_by: [alertname, service]",
        "group_by: [alertname, servise]",
        "no alert has a label servise",
    ),
    "a receiver": (ALERTMANAGER, "receiver: page", "receiver: pager", "there is no receiver pager"),
    "a matcher": (ALERTMANAGER, 'severity = "info"]\n', 'severity "info"]\n', "is no matcher such as"),
    "an inhibition's source": (
        ALERTMANAGER,
        "TargetDown|TargetMissing",
        "TargetDown|TargetGone",
        "no alert has the alertname TargetGone",
    ),
    "an inhibition's label": (
        ALERTMANAGER,
        "equal: [service, component]",
        "equal: [service, part]",
        "no alert has a label part",
    ),
    "an inhibition of the Watchdog": (
        ALERTMANAGER,
        '    target_matchers: [alertname != "Watchdog", severity',
        "    target_matchers: [severity",
        "holds back Watchdog",
    ),
    "a template": (
        ALERTMANAGER,
        'template "botmetry.subject"',
        'template "botmetry.subjekt"',
        "there is no template botmetry.subjekt",
    ),
    "a template's name": (
        TEMPLATES,
        '{{ define "botmetry.text"',
        '{{ define "botmetry.txt"',
        "there is no template botmetry.text",
    ),
    "a secret": (
        ALERTMANAGER,
        "/run/secrets/telegram_bot_token",
        "/run/secrets/telegram_token",
        "gets no secret telegram_token",
    ),
    "a rule file": (
        PROMETHEUS,
        "  - slo-rules.yml",
        "  - slo_rules.yml",
        "there is no rule file slo_rules.yml",
    ),
    "a rule file that is left out": (PROMETHEUS, "  - recording.yml\n", "", "recording.yml is not among"),
    "a data source's uid": (
        SOURCES,
        "    uid: loki\n",
        "    uid: logs\n",
        "leads to loki, which is no data source",
    ),
    "the uid of the traces": (
        SOURCES,
        "    uid: tempo\n",
        "    uid: traces\n",
        "there is no data source tempo",
    ),
    "a health check": (COMPOSE, "9090/-/ready", "9090/ready", "does not ask 127.0.0.1:9090/-/ready"),
    "a health check's end": (COMPOSE, "9090/-/ready", "9090/-/readyy", "does not ask 127.0.0.1:9090/-/ready"),
    "a port": (COMPOSE, '"127.0.0.1:3100:3100"', '"3100:3100"', "is open to every network"),
    "a file that is mounted": (
        COMPOSE,
        "./monitoring/recording.yml:/",
        "./monitoring/records.yml:/",
        "there is no ./monitoring/records.yml",
    ),
}
# Reported where the other side of the agreement stands.
ELSEWHERE = {
    "a template's name",
    "a rule file that is left out",
    "a data source's uid",
    "the uid of the traces",
}


@pytest.mark.parametrize("name", BREAKS)
def test_breaking_is_found(copy: StackFiles, name: str) -> None:
    """Each name, address and form on which two files have to agree is reported, in one line, where it stands."""
    file, old, new, said = BREAKS[name]
    path = copy.root / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    line = text[: text.index(old)].count("\n") + 1
    problems = [problem for problem in check_stack(copy, programs=False).problems if said in problem.message]
    assert problems
    assert all("\n" not in problem.message for problem in problems)
    if name not in ELSEWHERE:
        assert (problems[0].path, problems[0].line) == (path, line)


OWN_ROUTE = """\
    - matchers: [team =~ "web|w.*", service != "x", queue = ""]
      receiver: web
    - matchers: [severity = "critical"]"""
OWN_RECEIVER = """\
receivers:
  - name: web
    slack_configs:
      - title: '{{ template "slack.default.title" . }}'
"""


def test_a_project_may_route_by_its_own_labels(copy: StackFiles) -> None:
    """A label of one's own alerts, a receiver of one's own and Alertmanager's own templates are no problem."""
    alerts = copy.alerts.read_text("utf-8")
    copy.alerts.write_text(
        alerts.replace("component: bot\n", "component: bot\n          team: web\n"), "utf-8"
    )
    text = copy.alertmanager.read_text("utf-8").replace("receivers:\n", OWN_RECEIVER)
    copy.alertmanager.write_text(text.replace('    - matchers: [severity = "critical"]', OWN_ROUTE), "utf-8")
    assert [str(problem) for problem in check_routing(copy, read_rulebook(copy))] == []


FOUND_BY_AMTOOL = {
    "a key": (ALERTMANAGER, "      group_wait: 10s", "      group_wiat: 10s", "field group_wiat not found"),
    "a field": (
        TEMPLATES,
        ".CommonAnnotations.summary }}",
        ".CommonAnotations.summary }}",
        "CommonAnotations",
    ),
    "a bracket": (TEMPLATES, ".CommonAnnotations.summary }}", ".CommonAnnotations.summary }", "unexpected"),
}


@pytest.mark.parametrize("name", FOUND_BY_AMTOOL)
def test_what_amtool_finds_is_told_where_it_stands(
    copy: StackFiles, program: Callable[[str], str], name: str
) -> None:
    """A key that Alertmanager does not know, and a text that it could not write when it has to be sent."""
    program("amtool")
    file, old, new, said = FOUND_BY_AMTOOL[name]
    path = copy.root / file
    text = path.read_text("utf-8")
    path.write_text(text.replace(old, new, 1), "utf-8")
    (problem,) = check_with_amtool(copy)
    assert said in problem.message
    assert (problem.path, problem.line) == (path, text[: text.index(old)].count("\n") + 1)
