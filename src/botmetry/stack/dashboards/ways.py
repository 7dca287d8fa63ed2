"""Ways out of a panel: to the log lines, the traces, the dashboard or the runbook that explain what it shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

__all__ = ["LOGS", "Story", "to_board", "to_logs", "to_logs_of_label", "to_runbook", "to_traces"]

LOGS = "botmetry-logs"

_HERE_AND_NOW = "${service:queryparam}&${__url_time_range}"
_TEMPO = {"type": "tempo", "uid": "tempo"}  # the uid of grafana/provisioning/datasources
# Where Prometheus serves the runbooks, see monitoring/README.md.
_RUNBOOKS = "http://localhost:9090/user"


@dataclass(frozen=True, slots=True)
class Story:
    """Which log lines and traces tell what a panel only counts.

    Attributes:
        event: The event of the log lines, such as "bot.request_handled", or another word that they contain.
        span: How the names of the spans begin, such as "bot.command"; empty where no span is made.
        label: The label of a series whose value a click on it looks for in the log; empty for none.
        failed: Only failed spans are meant.
    """

    event: str
    span: str = ""
    label: str = ""
    failed: bool = False


def to_logs(event: str = "") -> build.DashboardLink:
    """Return the link to the log lines of the same services and time."""
    search = f"&var-search={quote(event)}" if event else ""
    return _link("Logs", f"/d/{LOGS}?{_HERE_AND_NOW}{search}", "What the programs said at that time")


def to_logs_of_label(label: str) -> build.DashboardLink:
    """Return the link from one series to the log lines that contain the value of its label."""
    value = f"${{__field.labels.{label}:percentencode}}"
    says = f"Log lines with this {label}"
    return _link(says, f"/d/{LOGS}?{_HERE_AND_NOW}&var-search={value}", says)


def to_traces(story: Story) -> build.DashboardLink:
    """Return the link to the traces of the same time."""
    failed = " && status = error" if story.failed else ""
    # A dot in the name of a span means any sign to the expression, which is near enough.
    query = {
        "refId": "A",
        "datasource": _TEMPO,
        "queryType": "traceql",
        "query": f'{{ name =~ "{story.span}.*"{failed} }}',
        "limit": 50,
    }
    period = {"from": "${__from}", "to": "${__to}"}
    panes = {"traces": {"datasource": _TEMPO["uid"], "queries": [query], "range": period}}
    encoded = quote(json.dumps(panes, separators=(",", ":")))
    for variable in period.values():
        encoded = encoded.replace(quote(variable), variable)  # Grafana puts the times in
    return _link("Traces", f"/explore?schemaVersion=1&panes={encoded}", "What took how long, step by step")


def to_board(uid: str) -> build.DashboardLink:
    """Return the link to another dashboard with the same services and time."""
    return _link("More about this", f"/d/{uid}?{_HERE_AND_NOW}", "The dashboard about this part")


def to_runbook() -> build.DashboardLink:
    """Return the link from a row of a table of alerts to the alert's page."""
    return _link("Runbook", f"{_RUNBOOKS}/${{__data.fields.alertname}}.md", "What to do about it")


def _link(title: str, url: str, tooltip: str) -> build.DashboardLink:
    return build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url).tooltip(tooltip)
