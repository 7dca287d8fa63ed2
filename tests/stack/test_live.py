"""Against a running Loki, Grafana and Tempo, where LOKI_URL, GRAFANA_URL and TEMPO_URL name them; else nothing is here.

Tempo is sent a span at TEMPO_OTLP_URL, or at the port 14318 of docker-compose.monitoring.yml. GRAFANA_URL holds user
and password, as in http://admin:secret@localhost:3000. That these did not run is printed at the end of every run
(conftest.py).
"""

import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from botmetry.stack.files import find_stack
from botmetry.stack.log_queries import ANYTHING, LOG_QUERIES, LogQuery, log_query

FILES = find_stack(Path(__file__))
LOKI_URL = os.environ.get("LOKI_URL", "").rstrip("/")
TEMPO_URL = os.environ.get("TEMPO_URL", "").rstrip("/")
TEMPO_OTLP_URL = os.environ.get("TEMPO_OTLP_URL", re.sub(r"(:\d+)?$", ":14318", TEMPO_URL)).rstrip("/")
GRAFANA_URL = os.environ.get("GRAFANA_URL", "").rstrip("/")


def _request(url: str, data: object = None) -> Any:
    parts = urllib.parse.urlsplit(url)
    headers = {"Content-Type": "application/json"}
    if parts.username:
        import base64  # noqa: PLC0415 - only with a password in the address

        secret = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
        headers["Authorization"] = f"Basic {secret}"
    bare = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    body = None if data is None else json.dumps(data).encode()
    with urllib.request.urlopen(urllib.request.Request(bare, body, headers), timeout=20) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def _log_queries() -> list[str]:
    """Every query of the runbooks and the dashboards for logs, its variables filled in."""
    queries: list[str] = []
    for path in FILES.runbooks.glob("*.md"):
        queries += re.findall(r"```logql\n\s*(.+?)\n\s*```", path.read_text("utf-8"), re.DOTALL)
    for path in FILES.dashboards.glob("*.json"):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for inner in (panel, *(panel.get("panels") or ())):
                queries += [
                    target["expr"]
                    for target in inner.get("targets") or ()
                    if target["datasource"]["type"] == "loki"
                ]
    return [
        re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: _value(found[1] or found[2]), query)
        for query in queries
    ]


def _value(variable: str) -> str:
    return "5m" if variable == "__auto" else ANYTHING.get(variable, ".*")


def _ask(query: str) -> list[Any]:
    asked = urllib.parse.urlencode({"query": query})
    answer = _request(f"{LOKI_URL}/loki/api/v1/query_range?{asked}")
    assert answer["status"] == "success", query
    result: list[Any] = answer["data"]["result"]
    return result


def _push(stream: dict[str, str], metadata: dict[str, str], **fields: object) -> None:
    line = json.dumps({**stream, **metadata, **fields})
    values = [[str(time.time_ns()), line, metadata]]
    _request(f"{LOKI_URL}/loki/api/v1/push", {"streams": [{"stream": stream, "values": values}]})


def _until(found: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not found():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)  # another process is asked again


if LOKI_URL:
    MARK = f"{time.time_ns():032x}"
    BOT = {"job": "midas", "service": "stack-test-bot", "level": "info"}
    WORKER = {"job": "midas", "service": "stack-test-worker", "level": "info"}
    # What each saved query has to find: the labels, the metadata and the fields of such a line.
    SAMPLES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, object]]] = {
        "errors": ({**BOT, "level": "error"}, {"event": "bot.request_handled"}, {}),
        "errors-of-a-user": ({**BOT, "level": "error"}, {"user_id": MARK}, {}),
        "story": (WORKER, {"trace_id": MARK}, {}),
        "failed-commands": (BOT, {"event": "bot.request_handled", "outcome": "timeout"}, {}),
        "failed-tasks": (WORKER, {"event": "queue.task_finished", "outcome": "error"}, {}),
        "slow-ai": (WORKER, {"event": "ai.task_finished"}, {"duration_seconds": 12.5}),
        "corrections": (BOT, {"event": "ai.corrected"}, {"predicted": "Other", "corrected": "Food"}),
        "crashes": ({**BOT, "level": "error", "stream": "stderr"}, {}, {}),
    }

    def test_loki_understands_every_query() -> None:
        """Each LogQL query of the runbooks and dashboards is answered."""
        queries = _log_queries()
        assert queries
        for query in queries:
            _ask(query)

    @pytest.mark.parametrize("query", LOG_QUERIES, ids=lambda query: query.name)
    def test_a_saved_query_finds_its_line(query: LogQuery) -> None:
        """A line of the kind that a saved query asks for is found by it, and counted by those that count."""
        stream, metadata, fields = SAMPLES.get(query.name, SAMPLES["errors"])
        _push(stream, metadata, **fields)
        chosen = {"service": stream["service"]}
        chosen |= {name: metadata[name] for name in query.variables if name in metadata}
        _until(lambda: _ask(query.filled(**chosen)), query.name)

    def test_a_quick_answer_is_not_slow() -> None:
        """The query for slow AI tasks leaves out those that were not."""
        stream = {**WORKER, "service": f"quick-{MARK[-8:]}"}
        _push(stream, {"event": "ai.task_finished"}, duration_seconds=0.2)
        _until(lambda: _ask(log_query("story").filled(service=stream["service"])), "the line arrives")
        assert _ask(log_query("slow-ai").filled(service=stream["service"])) == []

    def test_loki_finds_a_trace_across_services() -> None:
        """The lines of one trace are found in bot and worker, without a parser."""
        trace = f"{time.time_ns():032x}"
        for stream in (BOT, WORKER):
            _push(stream, {"trace_id": trace})
        query = f'{{job="midas"}} | trace_id="{trace}"'
        _until(lambda: len({found["stream"]["service"] for found in _ask(query)}) == 2, "both services")

    def test_loki_takes_otlp_with_the_labels_of_files() -> None:
        """A record over OTLP, as Alloy sends it, has job, service and level as labels and its trace as metadata."""
        trace, now = f"{time.time_ns():032x}", str(time.time_ns())
        resource = {
            "job": "midas",
            "service": "stack-test-otlp",
            "level": "info",
            "service.name": "stack-test-otlp",
        }
        record = {
            "timeUnixNano": now,
            "traceId": trace,
            "spanId": trace[-16:],
            "body": {"stringValue": "hello"},
            "attributes": [{"key": "user.id", "value": {"stringValue": "7"}}],
        }
        attributes = [{"key": key, "value": {"stringValue": value}} for key, value in resource.items()]
        logs = [{"resource": {"attributes": attributes}, "scopeLogs": [{"logRecords": [record]}]}]
        _request(f"{LOKI_URL}/otlp/v1/logs", {"resourceLogs": logs})
        query = f'{{job="midas", service="stack-test-otlp", level="info"}} | trace_id="{trace}" | user_id="7"'
        _until(lambda: _ask(query), "the record")

    def test_the_ruler_has_the_alerts() -> None:
        """Loki's ruler has loaded every alert of monitoring/loki-rules."""
        address = f"{LOKI_URL}/prometheus/api/v1/rules"
        loaded = {rule["name"] for group in _request(address)["data"]["groups"] for rule in group["rules"]}
        for path in FILES.log_rules:
            assert set(re.findall(r"alert: (\w+)", path.read_text("utf-8"))) <= loaded


if TEMPO_URL:

    def test_tempo_finds_a_trace_that_was_sent() -> None:
        """A span sent over OTLP is found by the id that exemplars and lines carry."""
        trace, now = f"{time.time_ns():032x}", time.time_ns()
        span = {
            "traceId": trace,
            "spanId": trace[-16:],
            "name": "stack-test",
            "kind": 1,
            "startTimeUnixNano": str(now - 1_000_000),
            "endTimeUnixNano": str(now),
        }
        attributes = [{"key": "service.name", "value": {"stringValue": "stack-test"}}]
        spans = [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": [span]}]}]
        _request(f"{TEMPO_OTLP_URL}/v1/traces", {"resourceSpans": spans})

        def found() -> bool:
            try:
                return bool(_request(f"{TEMPO_URL}/api/traces/{trace}"))
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
                return False

        _until(found, "the trace")


if GRAFANA_URL:

    def test_grafana_has_the_data_sources() -> None:
        """All four data sources are provisioned under their fixed uids."""
        found = {source["uid"] for source in _request(f"{GRAFANA_URL}/api/datasources")}
        assert {"prometheus", "alertmanager", "loki", "tempo"} <= found

    def test_grafana_has_the_links() -> None:
        """What leads from metrics, lines and traces to each other arrived as it was written, dollar signs included."""
        sources = {source["uid"]: source["jsonData"] for source in _request(f"{GRAFANA_URL}/api/datasources")}
        assert sources["prometheus"]["exemplarTraceIdDestinations"][0]["datasourceUid"] == "tempo"
        assert sources["loki"]["derivedFields"][0]["url"] == "${__value.raw}"
        assert "${__trace.traceId}" in sources["tempo"]["tracesToLogsV2"]["query"]
        assert sources["tempo"]["tracesToMetrics"]["datasourceUid"] == "prometheus"

    def test_grafana_serves_every_dashboard() -> None:
        """Each committed dashboard is provisioned, read-only, with all its panels."""
        for path in FILES.dashboards.glob("*.json"):
            answer = _request(f"{GRAFANA_URL}/api/dashboards/uid/{path.stem}")
            wanted = json.loads(path.read_text("utf-8"))
            assert answer["meta"]["provisioned"] is True
            assert len(answer["dashboard"]["panels"]) == len(wanted["panels"])
