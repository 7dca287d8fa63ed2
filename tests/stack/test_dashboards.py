"""The committed dashboards keep the rules of the house, which include those of grafana/dashboard-linter."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from botmetry.errors import StackError
from botmetry.metrics import CATALOGUE
from botmetry.stack.checks.logql import METADATA, STREAM_LABELS, examine_logql
from botmetry.stack.checks.units import measure
from botmetry.stack.dashboards import boards
from botmetry.stack.dashboards.alert_line import line_of
from botmetry.stack.dashboards.query import Metrics, level, m, quantile, rate
from botmetry.stack.files import find_stack
from botmetry.stack.render import generated, stale
from botmetry.stack.rulebook import read_rulebook

FILES = find_stack(Path(__file__))
DASHBOARDS = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FILES.dashboards.glob("*.json"))
}
EVERY = pytest.mark.parametrize("uid", DASHBOARDS)

PROMETHEUS = {"type": "prometheus", "uid": "${prometheus_datasource}"}
LOKI = {"type": "loki", "uid": "${loki_datasource}"}
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
    source = variables["prometheus_datasource"]
    assert (source["type"], source["label"]) == ("datasource", "Prometheus data source")
    for name in ("job", "service", "instance"):
        variable = variables[name]
        assert (variable["label"], variable["type"]) == (name.capitalize(), "query")
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")
        assert variable["datasource"] == PROMETHEUS
        assert variable["refresh"] == 2


@EVERY
def test_first_row_answers_is_it_fine(uid: str) -> None:
    """The first row says whether it is fine."""
    first = DASHBOARDS[uid]["panels"][0]
    assert (first["type"], first["title"]) == ("row", "Is it fine?")


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
    """Firing alerts, new versions and starts of processes are drawn into every panel."""
    alerts, deploys, starts = DASHBOARDS[uid]["annotations"]["list"]
    assert "ALERTS" in alerts["expr"]
    assert alerts["titleFormat"] == "{{alertname}}"
    # What was there five minutes ago is no deploy.
    now, _, before = deploys["expr"].partition(" unless ")
    assert "botmetry_build_info{" in now
    assert before.replace(" offset 5m", "") == now
    assert "{{service_version}}" in deploys["titleFormat"]
    assert starts["useValueForTime"] == "on"


@EVERY
def test_histograms_show_their_exemplars(uid: str) -> None:
    """From every quantile and every heatmap a dot leads to a trace."""
    for panel in _panels(DASHBOARDS[uid]):
        for target in panel["targets"]:
            if "_bucket" in target["expr"] and panel["type"] in {"timeseries", "heatmap"}:
                assert target["exemplar"] is True, panel["title"]


@EVERY
def test_courses_lead_to_logs_and_traces(uid: str) -> None:
    """From what goes on over time a click leads to the lines of the same services and time, and on to traces."""
    for panel in _panels(DASHBOARDS[uid]):
        if panel["type"] in {"timeseries", "heatmap"} and panel["datasource"] == PROMETHEUS:
            logs, *traces = [link["url"] for link in panel["links"]]
            assert logs.startswith("/d/botmetry-logs?${service:queryparam}&${__url_time_range}"), panel[
                "title"
            ]
            for url in traces:
                assert _panes(url)["traces"]["queries"][0]["query"].startswith('{ name =~ "')


@pytest.mark.parametrize(
    ("uid", "title", "event", "span"),
    [
        ("botmetry-overview", "Errors by type", "bot.request_handled", "bot.command"),
        ("botmetry-ai", "AI tasks", "ai.task_finished", "ai.task"),
        ("botmetry-queues", "Failed by task", "queue.task_finished", "queue.task"),
        ("botmetry-database", "Failed statements", "db.query_executed", "(SELECT|INSERT|UPDATE|DELETE) "),
        ("botmetry-redis", "Failed commands", "redis.operation_executed", "redis "),
    ],
)
def test_failures_lead_to_their_story(uid: str, title: str, event: str, span: str) -> None:
    """From a panel of failures one click leads to the lines, and one to the traces, of just these operations."""
    panel = next(panel for panel in _panels(DASHBOARDS[uid]) if panel["title"] == title)
    logs, traces = (link["url"] for link in panel["links"])
    assert logs.endswith(f"&var-search={event}")
    assert f'name =~ "{span}.*"' in _panes(traces)["traces"]["queries"][0]["query"]
    (series,) = panel["fieldConfig"]["defaults"]["links"]
    assert "&var-search=${__field.labels." in series["url"]


def test_the_overview_leads_to_the_other_dashboards() -> None:
    """A number about the AI or the queue leads to the dashboard about it."""
    urls = {
        panel["title"]: panel["links"][0]["url"].partition("?")[0]
        for panel in _panels(DASHBOARDS["botmetry-overview"])
        if panel["type"] == "stat"
    }
    assert urls["AI confidence"] == "/d/botmetry-ai"
    assert urls["Oldest task"] == "/d/botmetry-queues"
    assert urls["All up"] == "/d/botmetry-telemetry"


def test_every_histogram_has_a_heatmap() -> None:
    """What is measured as a distribution can be seen as one."""
    shown = {
        target["expr"]
        for dashboard in DASHBOARDS.values()
        for panel in _panels(dashboard)
        if panel["type"] == "heatmap"
        for target in panel["targets"]
    }
    for spec in CATALOGUE.values():
        assert spec.kind != "histogram" or any(f"{spec.name}_bucket" in expr for expr in shown), spec.name


@pytest.mark.parametrize(
    ("expr", "unit"),
    [
        ("histogram_quantile(0.9, sum by (le) (rate(bot_request_duration_seconds_bucket[5m])))", "s"),
        (
            "sum(rate(db_query_duration_seconds_sum[5m])) / sum(rate(db_query_duration_seconds_count[5m]))",
            "s",
        ),
        ("time() - max(process_start_time_seconds)", "s"),
        ("sum(rate(bot_requests_total[5m]))", "reqps"),
        ("sum(rate(process_cpu_seconds_total[5m]))", "percentunit"),
        ("sum(rate(bot_errors_total[5m])) / (sum(rate(bot_requests_total[5m])) > 0)", "percentunit"),
        ("sum(rate(ai_confidence_ratio_sum[5m])) / sum(rate(ai_confidence_ratio_count[5m]))", "percentunit"),
        ("sum(rate(ai_cost_usd_total[5m])) * 3600", "currencyUSD"),
        ("max(process_resident_memory_bytes)", "bytes"),
        ("count(up == 1)", "short"),
    ],
)
def test_what_an_expression_is_measured_in(expr: str, unit: str) -> None:
    """The unit of a query is that of its metrics, divided and rated as it divides and rates them."""
    found = measure(expr, read_rulebook(FILES))
    assert found is not None
    assert unit in found.units
    assert not found.units & ({"s", "reqps", "currencyUSD", "bytes", "short"} - {unit})


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ('{job="midas", service=~"$service"} | trace_id=~"$trace_id" |= "$search"', []),
        ('sum by (service) (count_over_time({job="midas"} |= "Traceback" [$__auto])) > 0', []),
        ('{job="midas"} | event="x" | json seconds="duration_seconds" | seconds > 5', []),
        ('topk(10, sum by (event) (rate({job="midas"} | json | error != `` [5m])))', []),
        ('{job="midas"} | line_format "{{.a}} -> {{.b}}"', []),
        ('{servce="midas"}', ["servce is no label of a stream"]),
        ('{job="midas"} | trace="x"', ["no line has trace without a parser"]),
        ('{job="midas"', ["not LogQL: 'the end' stands where ',' belongs"]),
        ('count_over_time({job="midas"})', ["not LogQL: ')' stands where '[' belongs"]),
        ('{job="midas"} | event', ["not LogQL: event is compared with nothing"]),
        ("rate(up[5m])", ["not LogQL: 'up' stands where '{' belongs"]),
    ],
)
def test_logql_is_read(query: str, said: list[str]) -> None:
    """LogQL that cannot be parsed, or asks for labels that nobody sets, is refused with the reason."""
    found = examine_logql(query)
    assert [message[: len(start)] for message, start in zip(found, said, strict=True)] == said


def test_the_labels_of_logs_are_those_of_the_agent() -> None:
    """What LogQL may ask for is what Promtail's configuration sets."""
    document = yaml.safe_load((FILES.monitoring / "promtail-config.yml").read_text("utf-8"))
    stages = [stage for job in document["scrape_configs"] for stage in job["pipeline_stages"]]
    labels = {name for stage in stages for name in stage.get("labels", ())}
    static = {name for job in document["scrape_configs"] for name in job["static_configs"][0]["labels"]}
    own = {"service_name", "detected_level"}  # Loki's
    assert {*labels, *static} - {"__path__"} == STREAM_LABELS - own
    assert {name for stage in stages for name in stage.get("structured_metadata", ())} == METADATA


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
    """A dashboard cannot draw the line of an alert that never was, whatever a project deleted."""
    rules = read_rulebook(FILES)
    assert rules.deleted == frozenset()
    with pytest.raises(StackError, match="there is no alert BotHighErrorRate"):
        boards(type(rules)({}, rules.recordings, rules.series))
    emptied = replace(rules, alerts={}, deleted=frozenset(rules.alerts))
    for book in (rules, emptied):
        with pytest.raises(StackError, match="there is no alert BotHighErorRate"):
            line_of(book, "BotHighErorRate")


def _panes(url: str) -> dict[str, Any]:
    (panes,) = parse_qs(urlsplit(url).query)["panes"]
    return json.loads(panes)


def _panels(dashboard: dict[str, Any], *, rows: bool = False) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        if rows or panel["type"] != "row":
            yield panel
        yield from panel.get("panels") or ()
