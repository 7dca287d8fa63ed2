"""Loki, the two agents, and Grafana's data sources, as far as they can be held to each other without running."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from botmetry.stack.files import find_stack

FILES = find_stack(Path(__file__))
LOKI: dict[str, Any] = yaml.safe_load((FILES.monitoring / "loki-config.yml").read_text("utf-8"))
PROMTAIL_TEXT = (FILES.monitoring / "promtail-config.yml").read_text("utf-8")
PROMTAIL: dict[str, Any] = yaml.safe_load(PROMTAIL_TEXT)
ALLOY = (FILES.monitoring / "config.alloy").read_text("utf-8")
DATA_SOURCES = {
    source["uid"]: source
    for source in yaml.safe_load(
        (FILES.root / "grafana" / "provisioning" / "datasources" / "datasources.yml").read_text("utf-8")
    )["datasources"]
}


def _stage(job: str, name: str) -> Any:
    found = next(config for config in PROMTAIL["scrape_configs"] if config["job_name"] == job)
    return next(stage[name] for stage in found["pipeline_stages"] if name in stage)


def _alloy(process: str, stage: str) -> str:
    block = ALLOY.split(f'loki.process "{process}" {{')[1].split("\n}\n")[0]
    return block.split(f"stage.{stage} {{")[1].split("\n  }\n")[0]


def test_loki_keeps_two_weeks_and_can_delete() -> None:
    """Retention is set, switched on, and has the store that it needs to start."""
    (schema,) = LOKI["schema_config"]["configs"]
    assert (schema["schema"], schema["store"], schema["object_store"]) == ("v13", "tsdb", "filesystem")
    assert schema["index"]["period"] == "24h"
    assert LOKI["compactor"]["retention_enabled"] is True
    assert LOKI["compactor"]["delete_request_store"] == "filesystem"
    assert LOKI["limits_config"]["allow_structured_metadata"] is True
    assert LOKI["analytics"]["reporting_enabled"] is False


def test_streams_are_few() -> None:
    """Only service and level become labels; what has many values is structured metadata; the file name goes."""
    assert set(_stage("structured", "labels")) == {"service", "level"}
    assert {"trace_id", "user_id", "task_id", "command", "event"} <= set(
        _stage("structured", "structured_metadata")
    )
    assert _stage("structured", "labeldrop") == ["filename"]
    assert _stage("structured", "timestamp") == {"source": "timestamp", "format": "RFC3339Nano"}


def test_alloy_does_what_promtail_does() -> None:
    """Both agents extract, label, attach and drop the same."""
    extracted = set(re.findall(r'(\w+)\s*= "\w+"', _alloy("structured", "json")))
    assert extracted == set(_stage("structured", "json")["expressions"])
    assert set(re.findall(r'(\w+)\s*= ""', _alloy("structured", "labels"))) == set(
        _stage("structured", "labels")
    )
    attached = set(re.findall(r'(\w+)\s*= ""', _alloy("structured", "structured_metadata")))
    assert attached == set(_stage("structured", "structured_metadata"))
    assert '"filename"' in _alloy("structured", "label_drop")
    assert _stage("plain", "multiline")["firstline"] in _alloy("plain", "multiline")
    assert _stage("plain", "regex")["expression"] in _alloy("plain", "regex")


def test_promtail_survives_the_expansion_of_variables() -> None:
    """No backslash stands in the file: expanding variables would take one of two away."""
    assert "\\" not in PROMTAIL_TEXT
    assert PROMTAIL["positions"]["filename"].startswith("${PROMTAIL_DATA")


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("midas-bot.log", "midas-bot"),
        ("midas-worker-2.log", "midas-worker"),
        ("midas-worker.log", "midas-worker"),
    ],
)
def test_a_log_belongs_to_its_service(name: str, service: str) -> None:
    """The service of a plain log is read from its name, without the number of the process."""
    match = re.search(_stage("plain", "regex")["expression"], f"/var/log/midas/{name}")
    assert match is not None
    assert match["service"] == service


def test_a_traceback_is_one_entry() -> None:
    """Every line of a traceback after the first continues the entry."""
    first = re.compile(_stage("plain", "multiline")["firstline"])
    traceback = [
        "Traceback (most recent call last):",
        '  File "/srv/midas/cli.py", line 3, in main',
        "    run()",
        "    ^^^^^",
        "midas.errors.SettingsError: DATABASE_URL is empty",
        "ValueError: 3",
    ]
    assert [bool(first.match(line)) for line in traceback] == [True, False, False, False, False, False]
    assert first.match("2026-11-22 10:00:00 listening")
    assert first.match("WARNING: port taken")


def test_alloy_blocks_are_closed() -> None:
    """Braces, brackets and quotes of the Alloy file are balanced."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|//[^\n]*', "", ALLOY)
    for opening, closing in ("{}", "[]", "()"):
        assert bare.count(opening) == bare.count(closing)
    assert '"' not in bare


def test_data_sources_lead_to_each_other() -> None:
    """Exemplar to trace, trace to logs and metrics, log to trace; uids and addresses are fixed."""
    assert DATA_SOURCES.keys() == {"prometheus", "alertmanager", "loki", "tempo"}
    assert all(source["editable"] is False for source in DATA_SOURCES.values())
    prometheus, loki, tempo = (DATA_SOURCES[name]["jsonData"] for name in ("prometheus", "loki", "tempo"))
    assert prometheus["exemplarTraceIdDestinations"][0]["datasourceUid"] == "tempo"
    assert (loki["derivedFields"][0]["matcherType"], loki["derivedFields"][0]["datasourceUid"]) == (
        "label",
        "tempo",
    )
    assert tempo["tracesToLogsV2"]["datasourceUid"] == "loki"
    assert "trace_id" in tempo["tracesToLogsV2"]["query"]
    assert tempo["tracesToMetrics"]["datasourceUid"] == "prometheus"


def test_grafana_knows_the_scrape_interval() -> None:
    """Its rate interval is made from the interval at which Prometheus really scrapes."""
    interval = yaml.safe_load(FILES.prometheus.read_text("utf-8"))["global"]["scrape_interval"]
    assert DATA_SOURCES["prometheus"]["jsonData"]["timeInterval"] == interval
