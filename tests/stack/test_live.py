"""Against a running Loki and Grafana, where LOKI_URL and GRAFANA_URL name them; otherwise there is nothing to collect.

GRAFANA_URL holds user and password, as in http://admin:secret@localhost:3000. That these did not run is printed at the
end of every run (conftest.py).
"""

import json
import os
import re
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from botmetry.stack.files import find_stack

FILES = find_stack(Path(__file__))
LOKI_URL = os.environ.get("LOKI_URL", "").rstrip("/")
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
    queries: list[str] = []
    for path in FILES.runbooks.glob("*.md"):
        queries += re.findall(r"```logql\n\s*(.+?)\n\s*```", path.read_text("utf-8"), re.DOTALL)
    for panel in json.loads((FILES.dashboards / "botmetry-logs.json").read_text("utf-8"))["panels"]:
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
    return {"__auto": "5m", "search": ""}.get(variable, ".*")


if LOKI_URL:

    def test_loki_understands_every_query() -> None:
        """Each LogQL query of the runbooks and the Logs dashboard is answered."""
        queries = _log_queries()
        assert queries
        for query in queries:
            answer = _request(
                f"{LOKI_URL}/loki/api/v1/query_range?" + urllib.parse.urlencode({"query": query})
            )
            assert answer["status"] == "success", query

    def test_loki_finds_a_trace_across_services() -> None:
        """A line is found by the trace_id in its structured metadata, without a parser."""
        now, trace = str(time.time_ns()), f"{time.time_ns():032x}"
        stream = {
            "stream": {"job": "midas", "service": "stack-test"},
            "values": [[now, "hello", {"trace_id": trace}]],
        }
        _request(f"{LOKI_URL}/loki/api/v1/push", {"streams": [stream]})
        query = urllib.parse.urlencode({"query": f'{{job="midas"}} | trace_id="{trace}"'})
        deadline = time.monotonic() + 30
        while not _request(f"{LOKI_URL}/loki/api/v1/query_range?{query}")["data"]["result"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)  # another process is asked again


if GRAFANA_URL:

    def test_grafana_has_the_data_sources() -> None:
        """All four data sources are provisioned under their fixed uids."""
        found = {source["uid"] for source in _request(f"{GRAFANA_URL}/api/datasources")}
        assert {"prometheus", "alertmanager", "loki", "tempo"} <= found

    def test_grafana_serves_every_dashboard() -> None:
        """Each committed dashboard is provisioned, read-only, with all its panels."""
        for path in FILES.dashboards.glob("*.json"):
            answer = _request(f"{GRAFANA_URL}/api/dashboards/uid/{path.stem}")
            wanted = json.loads(path.read_text("utf-8"))
            assert answer["meta"]["provisioned"] is True
            assert len(answer["dashboard"]["panels"]) == len(wanted["panels"])
