"""Loki, the saved queries, Tempo, and the ways between Grafana's data sources, held to each other."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from botmetry.errors import StackError
from botmetry.metrics import CATALOGUE
from botmetry.stack.checks.logql import examine_logql
from botmetry.stack.checks.promql import examine
from botmetry.stack.files import find_stack
from botmetry.stack.log_page import render_log_page
from botmetry.stack.log_queries import ANYTHING, LOG_QUERIES, VARIABLES, log_query
from botmetry.stack.series import catalogue_series

FILES = find_stack(Path(__file__))
LOKI: dict[str, Any] = yaml.safe_load((FILES.monitoring / "loki-config.yml").read_text("utf-8"))
TEMPO: dict[str, Any] = yaml.safe_load((FILES.monitoring / "tempo-config.yml").read_text("utf-8"))
SOURCES = yaml.safe_load(
    (FILES.root / "grafana" / "provisioning" / "datasources" / "datasources.yml").read_text("utf-8")
)["datasources"]
DATA_SOURCES = {source["uid"]: source for source in SOURCES}
DASHBOARD = json.loads((FILES.dashboards / "botmetry-logs.json").read_text("utf-8"))
EVERY = pytest.mark.parametrize("query", LOG_QUERIES, ids=lambda query: query.name)


def test_loki_keeps_two_weeks_and_can_delete() -> None:
    """Retention is set, switched on, and has the store that it needs to start."""
    (schema,) = LOKI["schema_config"]["configs"]
    assert (schema["schema"], schema["store"], schema["object_store"]) == ("v13", "tsdb", "filesystem")
    assert schema["index"]["period"] == "24h"
    assert LOKI["compactor"]["retention_enabled"] is True
    assert LOKI["compactor"]["delete_request_store"] == "filesystem"
    assert LOKI["limits_config"]["retention_period"] == "336h"
    assert LOKI["limits_config"]["allow_structured_metadata"] is True
    assert LOKI["analytics"]["reporting_enabled"] is False


def test_loki_is_bounded_for_a_small_host() -> None:
    """Rates, streams, line sizes and queries have limits, and old lines are refused before they would be deleted."""
    limits = LOKI["limits_config"]
    for name in (
        *(
            "ingestion_rate_mb",
            "ingestion_burst_size_mb",
            "per_stream_rate_limit",
            "max_global_streams_per_user",
        ),
        *("max_label_names_per_series", "max_line_size", "max_query_length", "max_entries_limit_per_query"),
    ):
        assert limits[name]
    hours = [
        int(limits[name].removesuffix("h")) for name in ("reject_old_samples_max_age", "retention_period")
    ]
    assert limits["reject_old_samples"] is True
    assert hours[0] < hours[1]
    assert int(limits["max_query_length"].removesuffix("h")) >= hours[1]


def test_the_rules_of_loki_are_where_its_ruler_looks() -> None:
    """Without authentication there is one tenant, called fake, whose folder holds the rules; each alert is parsed."""
    assert LOKI["auth_enabled"] is False
    (path,) = FILES.log_rules
    assert path.parent.name == "fake"
    assert LOKI["ruler"]["storage"]["type"] == "local"
    for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            assert examine_logql(rule["expr"]) == []
            assert rule["labels"]["severity"] in {"critical", "warning", "info"}
            assert {"summary", "description", "runbook_url", "dashboard_url"} <= rule["annotations"].keys()


def test_what_people_need_is_saved() -> None:
    """The questions of the house are there, each under a name and a title of its own."""
    names = [query.name for query in LOG_QUERIES]
    assert {"errors-of-a-user", "story", "slow-ai", "corrections", "failed-tasks"} <= set(names)
    assert len(set(names)) == len({query.title for query in LOG_QUERIES}) == len(LOG_QUERIES)


@EVERY
def test_a_saved_query_can_be_asked(query: Any) -> None:
    """Its LogQL is parsed, uses labels that exist, and its variables are explained."""
    assert examine_logql(query.expr) == []
    assert examine_logql(query.filled(**dict.fromkeys(query.variables, "x"))) == []
    assert "$" not in query.filled()
    assert set(query.variables) <= VARIABLES.keys() == ANYTHING.keys()
    assert query.counts == ("count_over_time" in query.expr) == ("$__auto" in query.expr)


@EVERY
def test_a_saved_query_is_a_panel_and_on_the_page(query: Any) -> None:
    """The dashboard asks exactly this, under this title, and the page lists it."""
    (panel,) = [panel for panel in _panels() if panel["title"] == query.title and panel["type"] != "row"]
    (target,) = panel["targets"]
    assert target["expr"] == query.expr
    assert panel["description"].startswith(query.says)
    page = (FILES.monitoring / "LOGS.md").read_text("utf-8")
    assert page == render_log_page()
    assert f"## {query.title}\n\n{query.says}\n\n```logql\n" in page
    assert query.expr.replace("$__auto", "5m") in page


def test_the_dashboard_asks_for_every_variable() -> None:
    """Each variable of a saved query can be filled in above the panels, with the same meaning of empty."""
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert ANYTHING.keys() <= variables.keys()
    for name, anything in ANYTHING.items():
        assert variables[name].get("allValue", variables[name].get("query")) == anything


@EVERY
def test_events_in_queries_are_written_by_somebody(query: Any) -> None:
    """Every event that a query asks for is one that the sources write: a misspelt one would find nothing for ever."""
    sources = "\n".join(
        path.read_text("utf-8") for path in (FILES.root / "src").rglob("*.py") if _writes(path)
    )
    asked = [event for found in re.findall(r'event=~?"([^"]+)"', query.expr) for event in found.split("|")]
    for event in asked:
        assert f'"{event}"' in sources, event


def test_values_cannot_leave_their_place() -> None:
    """A quotation mark in a value stays inside the text that it was put into; an unknown variable is refused."""
    filled = log_query("story").filled(search='a"b\\c', user_id="7")
    assert '|= "a\\"b\\\\c"' in filled
    assert 'user_id=~"7"' in filled
    assert examine_logql(filled) == []
    with pytest.raises(StackError, match="has no variable user_id"):
        log_query("errors").filled(user_id="7")
    with pytest.raises(StackError, match="there is no log query nothing"):
        log_query("nothing")


def test_data_sources_are_fixed() -> None:
    """Each has a uid that dashboards and links can name, an address from the environment, and cannot be edited."""
    assert [source["uid"] for source in SOURCES] == ["prometheus", "alertmanager", "loki", "tempo"]
    for uid, source in DATA_SOURCES.items():
        assert source["type"] == uid
        assert source["editable"] is False
        assert source["url"] == f"${{{uid.upper()}_URL}}"


def test_no_link_leads_to_nobody() -> None:
    """Every data source that another one names exists, and is not itself."""
    named = list(_named(DATA_SOURCES))
    assert len(named) >= 4
    for source, target in named:
        assert target in DATA_SOURCES
        assert target != source


def test_an_exemplar_leads_to_its_trace() -> None:
    """Prometheus' exemplars carry the label trace_id, which opens Tempo; storing them is switched on."""
    (link,) = DATA_SOURCES["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert (link["name"], link["datasourceUid"]) == ("trace_id", "tempo")
    services = yaml.safe_load(FILES.compose.read_text("utf-8"))["services"]
    assert "--enable-feature=exemplar-storage" in services["prometheus"]["command"]
    sources = (FILES.root / "src" / "botmetry").rglob("*.py")
    assert any(
        re.search(r'exemplar.*"trace_id"|"trace_id".*exemplar', path.read_text("utf-8")) for path in sources
    )


def test_a_line_leads_to_its_trace() -> None:
    """The structured metadata trace_id, matched as a label, opens Tempo; the dollar sign survives provisioning."""
    (link,) = DATA_SOURCES["loki"]["jsonData"]["derivedFields"]
    assert (link["matcherType"], link["matcherRegex"], link["datasourceUid"]) == (
        "label",
        "trace_id",
        "tempo",
    )
    assert _provisioned(link["url"]) == "${__value.raw}"


def test_a_trace_leads_to_its_lines() -> None:
    """From a trace one gets the lines of that trace, of all services, a task's wait in the queue included."""
    link = DATA_SOURCES["tempo"]["jsonData"]["tracesToLogsV2"]
    assert (link["datasourceUid"], link["customQuery"]) == ("loki", True)
    query = _provisioned(link["query"])
    assert 'trace_id = "${__trace.traceId}"' in query
    assert examine_logql(query) == []
    assert (link["spanStartTimeShift"], link["spanEndTimeShift"]) == ("-5m", "5m")


def test_a_trace_leads_to_its_metrics() -> None:
    """From a span one gets rate and duration of its service, by queries over metrics that exist."""
    link = DATA_SOURCES["tempo"]["jsonData"]["tracesToMetrics"]
    assert link["datasourceUid"] == "prometheus"
    assert link["tags"] == [{"key": "service.name", "value": "service"}]
    assert len(link["queries"]) >= 2
    for query in link["queries"]:
        expr = _provisioned(query["query"])
        assert "$__tags" in expr
        asked = expr.replace("$__tags", 'service="x"').replace("$__rate_interval", "5m")
        examined = examine(asked, catalogue_series())
        assert examined.findings == []
        assert examined.metrics <= CATALOGUE.keys()


def test_tempo_takes_what_alloy_sends_and_forgets_it() -> None:
    """The ports of Alloy's exporter and Grafana's data source are Tempo's, and traces are kept three days."""
    otlp = TEMPO["distributor"]["receivers"]["otlp"]["protocols"]
    assert otlp["grpc"]["endpoint"].endswith(":4317")
    assert otlp["http"]["endpoint"].endswith(":4318")
    assert 'coalesce(sys.env("TEMPO_OTLP"), "tempo:4317")' in (FILES.monitoring / "config.alloy").read_text(
        "utf-8"
    )
    services = yaml.safe_load(FILES.compose.read_text("utf-8"))["services"]
    assert services["grafana"]["environment"]["TEMPO_URL"].endswith(f":{TEMPO['server']['http_listen_port']}")
    assert TEMPO["backend_worker"]["compaction"]["block_retention"] == "72h"
    assert TEMPO["usage_report"]["reporting_enabled"] is False
    kept = re.findall(r"path: (\S+)", (FILES.monitoring / "tempo-config.yml").read_text("utf-8"))
    assert all(path.startswith("/var/tempo/") for path in kept)
    assert "tempo:/var/tempo" in services["tempo"]["volumes"]


def test_grafana_knows_the_scrape_interval() -> None:
    """Its rate interval is made from the interval at which Prometheus really scrapes."""
    interval = yaml.safe_load(FILES.prometheus.read_text("utf-8"))["global"]["scrape_interval"]
    assert DATA_SOURCES["prometheus"]["jsonData"]["timeInterval"] == interval


def _panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel.get("panels") or ()


def _named(value: Any, source: str = "") -> Iterator[tuple[str, str]]:
    """Yield every data source that is named below `value`, with the one that names it."""
    if isinstance(value, list):
        for inner in value:
            yield from _named(inner, source)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == "datasourceUid":
                yield source, inner
            else:
                yield from _named(inner, source or key)


def _provisioned(text: str) -> str:
    """What Grafana makes of a text in a provisioning file: a doubled dollar sign is one."""
    return text.replace("$$", "$")


def _writes(path: Path) -> bool:
    return "stack" not in path.relative_to(FILES.root / "src").parts
