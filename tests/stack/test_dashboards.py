"""The committed dashboards keep the rules of the house, which include those of grafana/dashboard-linter."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from botmetry.errors import StackError
from botmetry.stack.dashboards import boards
from botmetry.stack.dashboards.query import Metrics, level, m, quantile, rate
from botmetry.stack.files import find_stack
from botmetry.stack.render import generated, stale
from botmetry.stack.rulebook import read_rulebook

FILES = find_stack(Path(__file__))
DASHBOARDS = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FILES.dashboards.glob("*.json"))
}
EVERY = pytest.mark.parametrize("uid", DASHBOARDS)

PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
LOKI = {"type": "loki", "uid": "${loki}"}
# Without the target's labels: they belong to a rule, not to a process.
RULES_OWN = re.compile(r"\bALERTS\b|\w+:\w+:\w+")


def test_committed_is_generated() -> None:
    """What is committed is, byte for byte, what the source generates."""
    assert stale(FILES) == []


def test_generation_repeats_itself() -> None:
    """Two generations are the same."""
    assert generated(FILES) == generated(FILES)


def test_expected_dashboards_exist() -> None:
    """Each dashboard is there under its title, and the overview has at least ten panels."""
    assert {dashboard["title"] for dashboard in DASHBOARDS.values()} == {
        *("Midas Bot Overview", "AI Quality and Cost", "Queues and Workers", "Database", "Redis", "Logs"),
        *("Telemetry Itself", "Service Levels", "Sagas", "Background Jobs"),
    }
    assert len(list(_panels(DASHBOARDS["botmetry-overview"]))) >= 10


@EVERY
def test_identity(uid: str) -> None:
    """A dashboard is read-only, found by a stable uid and by tag, and leads to the others."""
    dashboard = DASHBOARDS[uid]
    assert dashboard["uid"] == uid
    assert dashboard["editable"] is False
    assert "botmetry" in dashboard["tags"]
    assert dashboard["description"]
    (link,) = dashboard["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
        "dashboards",
        ["botmetry"],
        True,
        True,
    )


@EVERY
def test_variables(uid: str) -> None:
    """Data source, job, service and instance can be chosen; lists follow the time range."""
    variables = {variable["name"]: variable for variable in DASHBOARDS[uid]["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["label"]) == (
        "datasource",
        "Data Source",
    )
    for name in ("job", "service", "instance"):
        variable = variables[name]
        assert (variable["label"], variable["type"]) == (name.capitalize(), "query")
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")
        assert variable["datasource"] == PROMETHEUS
        assert variable["refresh"] == 2


@EVERY
def test_first_row_answers_is_it_fine(uid: str) -> None:
    """The first row of numbers says whether it is fine; logs begin with how many there are."""
    first = DASHBOARDS[uid]["panels"][0]
    assert (first["type"], first["title"]) == ("row", "How much" if uid == "botmetry-logs" else "Is it fine?")


@EVERY
def test_panels(uid: str) -> None:
    """Every panel has its own number, a title of its own, a description, a unit, a data source and queries."""
    panels = list(_panels(DASHBOARDS[uid]))
    numbers = [panel["id"] for panel in _panels(DASHBOARDS[uid], rows=True)]
    assert len(set(numbers)) == len(numbers)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] in (PROMETHEUS, LOKI)
        assert panel["targets"]
        assert panel["type"] == "logs" or panel["fieldConfig"]["defaults"]["unit"]
        assert panel.get("options", {}) is not None


@EVERY
def test_no_panel_lies_on_another(uid: str) -> None:
    """No two panels of a dashboard share a place, and none is wider than the page."""
    taken: set[tuple[int, int]] = set()
    for panel in _panels(DASHBOARDS[uid], rows=True):
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


@EVERY
def test_targets(uid: str) -> None:
    """Every query has its letter and follows the variables; rates use $__rate_interval and LogQL uses $__auto."""
    for panel in _panels(DASHBOARDS[uid]):
        targets = panel["targets"]
        assert [target["refId"] for target in targets] == [chr(65 + number) for number in range(len(targets))]
        for target in targets:
            assert target["datasource"] == panel["datasource"]
            windows = re.findall(r"\[([^\]]+)\]", target["expr"])
            assert set(windows) <= {"$__auto" if target["datasource"] == LOKI else "$__rate_interval"}
            assert 'service=~"$service"' in target["expr"]
            if target["datasource"] == PROMETHEUS and not RULES_OWN.search(target["expr"]):
                assert 'job=~"$job",instance=~"$instance"' in target["expr"]


@EVERY
def test_histograms_are_heatmaps_too(uid: str) -> None:
    """A heatmap reads buckets, in the format that Grafana needs for it."""
    for panel in _panels(DASHBOARDS[uid]):
        (target, *_) = panel["targets"]
        if panel["type"] == "heatmap":
            assert target["format"] == "heatmap"
            assert "by (le)" in target["expr"]
        if panel["type"] == "table":
            assert (target["format"], target["instant"]) == ("table", True)


@EVERY
def test_annotations(uid: str) -> None:
    """Firing alerts and starts of processes are drawn into every panel."""
    alerts, starts = DASHBOARDS[uid]["annotations"]["list"]
    assert "ALERTS" in alerts["expr"]
    assert alerts["titleFormat"] == "{{alertname}}"
    assert starts["useValueForTime"] == "on"


def test_exemplars_lead_from_times_to_traces() -> None:
    """The panels of answer and AI times ask for exemplars."""
    for uid, title in (("botmetry-overview", "Answer time by command"), ("botmetry-ai", "AI time")):
        panel = next(panel for panel in _panels(DASHBOARDS[uid]) if panel["title"] == title)
        assert all(target["exemplar"] for target in panel["targets"])


@pytest.mark.parametrize(
    ("uid", "title"),
    [
        ("botmetry-overview", "Errors by type"),
        ("botmetry-ai", "AI tasks"),
        ("botmetry-queues", "Failed by task"),
        ("botmetry-database", "Failed statements"),
        ("botmetry-redis", "Connection errors by service"),
        ("botmetry-telemetry", "Log records"),
    ],
)
def test_failures_lead_to_logs(uid: str, title: str) -> None:
    """From a panel of failures one click leads to the lines of the same services and time."""
    panel = next(panel for panel in _panels(DASHBOARDS[uid]) if panel["title"] == title)
    assert [link["url"] for link in panel["links"]] == [
        "/d/botmetry-logs?${service:queryparam}&${__url_time_range}"
    ]


def test_every_threshold_comes_from_an_alert() -> None:
    """A panel that is coloured names the alert whose threshold it draws."""
    for dashboard in DASHBOARDS.values():
        for panel in _panels(dashboard):
            steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
            assert len(steps) < 2 or re.search(r"Alert \w+: ", panel["description"]), panel["title"]


def test_a_query_for_nothing_is_refused() -> None:
    """A dashboard that names an unknown metric or label, or takes a rate of a gauge, cannot be built."""
    for wrong, message in (
        (lambda: Metrics().bot_nothing_total, "not in the catalogue"),
        (lambda: rate(m.bot_requests_total, "user"), "has no label user"),
        (lambda: rate(m.bot_requests_total, user="7"), "has no label user"),
        (lambda: rate(m.queue_size), "is a gauge"),
        (lambda: level(m.bot_requests_total), "is a counter"),
        (lambda: quantile(0.9, m.queue_size), "is a gauge"),
    ):
        with pytest.raises(StackError, match=message):
            wrong()


def test_a_threshold_for_nothing_is_refused() -> None:
    """A dashboard cannot draw the line of an alert that does not exist."""
    rules = read_rulebook(FILES)
    with pytest.raises(StackError, match="there is no alert BotHighErrorRate"):
        boards(type(rules)({}, rules.recordings, rules.series))


def _panels(dashboard: dict[str, Any], *, rows: bool = False) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        if rows or panel["type"] != "row":
            yield panel
        yield from panel.get("panels") or ()
