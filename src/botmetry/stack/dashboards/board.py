"""What every dashboard of the house has: variables, links, annotations, and numbers where the SDK leaves none.

The SDK encodes an empty refId on every target, panels without ids, `options: null` and annotations without their
text; Grafana needs the first two to draw more than one query and to link to a panel.
"""

# ruff: noqa: FBT003 - the setters of the SDK take their booleans by position

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from botmetry.stack.dashboards.panels import PROMETHEUS, Panel
from botmetry.stack.dashboards.query import appeared, m, series_of

__all__ = ["Board"]

_TAG = "botmetry"
_ALL = model.VariableOption(text="All", value="$__all")


class Board:
    """One dashboard, put together row by row.

    Args:
        uid: Stable, part of links in alerts and bookmarks.
        title: What people search for.
        says: One sentence: the question that it answers.
        tags: Beside the house's own.
    """

    def __init__(self, uid: str, title: str, says: str, *tags: str) -> None:
        self.uid = uid
        self._builder = (
            build.Dashboard(title)
            .uid(uid)
            .description(says)
            .tags([_TAG, *tags])
            .readonly()
            .timezone("browser")
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .time("now-3h", "now")
            .refresh("30s")
            .link(_house_links())
        )
        for variable in (_data_source("prometheus"), *_target_variables()):
            self._builder.with_variable(variable)

    def choose(self, name: str, label: str, query: str) -> Board:
        """Add a variable: one, several or all values of `query`, a `label_values(...)`."""
        self._builder.with_variable(_choice(name, label, query))
        return self

    def ask(self, name: str, label: str, default: str) -> Board:
        """Add a text field."""
        self._builder.with_variable(build.TextBoxVariable(name).label(label).default_value(default))
        return self

    def with_logs(self) -> Board:
        """Add the choice of a Loki."""
        self._builder.with_variable(_data_source("loki"))
        return self

    def row(self, title: str, *panels: Panel, folded: bool = False) -> Board:
        """Add a row; `folded` starts closed, and asks nothing of Prometheus until it is opened."""
        row = build.Row(title).collapsed(folded)
        if not folded:
            self._builder.with_row(row)
            for panel in panels:
                self._builder.with_panel(panel)
            return self
        for panel in panels:
            row.with_panel(panel)
        self._builder.with_row(row)
        return self

    def encode(self) -> str:
        """Return the JSON that Grafana reads, the same at every call."""
        document: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(self._builder.build()))
        document["annotations"] = {"list": _annotations()}
        for number, panel in enumerate(_panels(document), start=1):
            panel["id"] = number
            for position, target in enumerate(panel.get("targets") or ()):
                target["refId"] = chr(ord("A") + position)
            if panel.get("options", {}) is None:
                del panel["options"]
        return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _panels(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in document["panels"]:
        yield panel
        yield from panel.get("panels") or ()


def _house_links() -> build.DashboardLink:
    return (
        build.DashboardLink("Botmetry")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([_TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )


def _data_source(kind: str) -> build.DatasourceVariable:
    # Name and label as grafana/dashboard-linter wants them where a dashboard has two kinds of source.
    return (
        build.DatasourceVariable(f"{kind}_datasource")
        .label(f"{kind.capitalize()} data source")
        .type(kind)
        .current(model.VariableOption(text=kind, value=kind))
    )


def _target_variables() -> Iterator[build.QueryVariable]:
    info = m.botmetry_build_info.name
    yield _choice("job", "Job", f"label_values({info}, job)")
    yield _choice("service", "Service", f'label_values({info}{{job=~"$job"}}, service)')
    yield _choice(
        "instance", "Instance", f'label_values({info}{{job=~"$job",service=~"$service"}}, instance)'
    )


def _choice(name: str, label: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(PROMETHEUS)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(_ALL)
        # On every change of the time range: a service that was added an hour ago is in the list.
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _annotations() -> list[dict[str, Any]]:
    """When alerts fired, versions changed and processes started; the SDK's type has no place for their texts."""
    alerts = {
        "name": "Alerts",
        "iconColor": "red",
        "expr": series_of(m.ALERTS, alertstate="firing", severity="critical|warning"),
        "titleFormat": "{{alertname}}",
        "textFormat": "{{service}}",
        "tagKeys": "severity,component",
    }
    deploys = {
        "name": "Deploys",
        "iconColor": "purple",
        # Drawn as a band over the minutes in which a version is new.
        "expr": appeared(m.botmetry_build_info, "service", "service_version", "version"),
        "titleFormat": "{{service}} {{service_version}} deployed",
        "textFormat": "botmetry {{version}}",
        "tagKeys": "service,service_version",
    }
    starts = {
        "name": "Starts",
        "iconColor": "blue",
        # The value is the time at which to draw, in milliseconds.
        "expr": f"{series_of(m.process_start_time_seconds)} * 1000",
        "useValueForTime": "on",
        "titleFormat": "{{service}} started",
        "textFormat": "{{instance}}",
    }
    source = {"type": PROMETHEUS.type_val, "uid": PROMETHEUS.uid}
    return [
        {"datasource": source, "enable": True, "step": "60s", **annotation}
        for annotation in (alerts, deploys, starts)
    ]
