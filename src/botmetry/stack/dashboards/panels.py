"""The kinds of panel and how each looks here, so that a dashboard says only what it shows."""

# ruff: noqa: FBT003 - the setters of the SDK take their booleans by position

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap as build_heatmap
from grafana_foundation_sdk.builders import logs as build_logs
from grafana_foundation_sdk.builders import loki, prometheus
from grafana_foundation_sdk.builders import stat as build_stat
from grafana_foundation_sdk.builders import table as build_table
from grafana_foundation_sdk.builders import timeseries as build_timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, heatmap
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as prometheus_model

from botmetry.stack.dashboards.alert_line import FINE, Line

__all__ = [
    "LOKI",
    "PROMETHEUS",
    "Panel",
    "Query",
    "heat",
    "lines",
    "log_lines",
    "log_rates",
    "number",
    "rows",
]

Panel: TypeAlias = Builder[model.Panel]

PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
LOKI = model.DataSourceRef(type_val="loki", uid="${loki}")


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        expr: PromQL or LogQL.
        legend: Grafana's template, such as "{{command}}".
        exemplars: Show the traces behind a histogram.
    """

    expr: str
    legend: str = ""
    exemplars: bool = False


def number(
    title: str,
    says: str,
    unit: str,
    query: Query,
    *,
    line: Line | None = None,
    empty: str = "none",
    width: int = 4,
) -> Panel:
    """Return one number with its recent course, coloured by the alert's threshold."""
    return (
        build_stat.Panel()
        .title(title)
        .description(_description(says, line))
        .datasource(PROMETHEUS)
        .unit(unit)
        .no_value(empty)
        .height(4)
        .span(width)
        .graph_mode(common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.BACKGROUND if line else common.BigValueColorMode.VALUE)
        .reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .thresholds(_thresholds(line))
        .with_target(_target(query))
    )


def lines(
    title: str,
    says: str,
    unit: str,
    *queries: Query,
    line: Line | None = None,
    width: int = 8,
    top: float | None = None,
    stacked: bool = False,
    logs: bool = False,
) -> Panel:
    """Return values over time.

    Args:
        title: Of the panel.
        says: What it shows and what to make of it.
        unit: Grafana's id of the unit.
        queries: One line or family of lines each.
        line: The alert whose threshold is drawn.
        width: Of 24.
        top: The upper end of the axis, where the values have one.
        stacked: Values lie on each other.
        logs: The panel leads to the log lines of the same services and time.
    """
    panel = (
        build_timeseries.Panel()
        .title(title)
        .description(_description(says, line))
        .datasource(PROMETHEUS)
        .unit(unit)
        .min(0)
        .height(8)
        .span(width)
        .line_width(1)
        .fill_opacity(10)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            build_common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            build_common.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
        .thresholds(_thresholds(line))
    )
    if line is not None:
        panel.thresholds_style(
            build_common.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        )
    if stacked:
        panel.stacking(build_common.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if top is not None:
        panel.max(top)
    if logs:
        panel.links([_logs_link()])
    for query in queries:
        panel.with_target(_target(query))
    return panel


def heat(title: str, says: str, unit: str, query: Query, *, width: int = 8) -> Panel:
    """Return the distribution of a histogram over time."""
    return (
        build_heatmap.Panel()
        .title(title)
        .description(says)
        .datasource(PROMETHEUS)
        .height(8)
        .span(width)
        .calculate(False)
        .unit("short")
        .color(
            build_heatmap.HeatmapColorOptions()
            .mode(heatmap.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .scale(heatmap.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
        )
        .y_axis(build_heatmap.YAxisConfig().unit(unit).axis_placement(common.AxisPlacement.LEFT))
        .cell_gap(1)
        .show_legend()
        .show_tooltip()
        .with_target(_target(query).format(prometheus_model.PromQueryFormat.HEATMAP).legend_format("{{le}}"))
    )


def rows(
    title: str,
    says: str,
    unit: str,
    query: Query,
    *,
    hide: Sequence[str] = (),
    width: int = 12,
    empty: str = "none",
) -> Panel:
    """Return the present series as a table, without the columns in `hide`."""
    hidden = dict.fromkeys(("Time", "__name__", *hide), True)
    return (
        build_table.Panel()
        .title(title)
        .description(says)
        .datasource(PROMETHEUS)
        .unit(unit)
        .no_value(empty)
        .height(8)
        .span(width)
        .with_target(_target(query, instant=True).format(prometheus_model.PromQueryFormat.TABLE))
        .with_transformation(
            model.DataTransformerConfig(
                id_val="organize", options={"excludeByName": hidden, "indexByName": {}}
            )
        )
    )


def log_lines(title: str, says: str, expr: str, *, width: int = 24, height: int = 10) -> Panel:
    """Return log lines, newest first, with their fields and the way to their trace."""
    return (
        build_logs.Panel()
        .title(title)
        .description(says)
        .datasource(LOKI)
        .height(height)
        .span(width)
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .sort_order(common.LogsSortOrder.DESCENDING)
        .dedup_strategy(common.LogsDedupStrategy.NONE)
        .with_target(loki.Dataquery().expr(expr).query_type("range").datasource(LOKI))
    )


def log_rates(title: str, says: str, unit: str, query: Query, *, width: int = 12) -> Panel:
    """Return counts of log lines over time, stacked."""
    return (
        build_timeseries.Panel()
        .title(title)
        .description(says)
        .datasource(LOKI)
        .unit(unit)
        .min(0)
        .height(8)
        .span(width)
        .draw_style(common.GraphDrawStyle.BARS)
        .fill_opacity(60)
        .stacking(build_common.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        .with_target(
            loki.Dataquery().expr(query.expr).legend_format(query.legend).query_type("range").datasource(LOKI)
        )
    )


def _logs_link() -> build.DashboardLink:
    """The log lines of the same services and the same time."""
    return (
        build.DashboardLink("Logs")
        .type(model.DashboardLinkType.LINK)
        .url("/d/botmetry-logs?${service:queryparam}&${__url_time_range}")
        .tooltip("What the programs said at that time")
    )


def _target(query: Query, *, instant: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).datasource(PROMETHEUS)
    if instant:
        return target.instant()
    return target.range().exemplar(query.exemplars)


def _description(says: str, line: Line | None) -> str:
    # `botmetry check` reads the second sentence and compares the number with the alert's.
    return says if line is None else f"{says} Alert {line.alert}: {line.text}."


def _thresholds(line: Line | None) -> build.ThresholdsConfig:
    steps = line.steps if line is not None else ((None, FINE),)
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=colour) for value, colour in steps])
    )
