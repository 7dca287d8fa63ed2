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
from botmetry.stack.dashboards.ways import Story, to_board, to_logs, to_logs_of_label, to_runbook, to_traces

__all__ = [
    "LOKI",
    "PROMETHEUS",
    "Panel",
    "Query",
    "Story",
    "heat",
    "lines",
    "log_lines",
    "log_rates",
    "number",
    "rows",
]

Panel: TypeAlias = Builder[model.Panel]

PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="${prometheus_datasource}")
LOKI = model.DataSourceRef(type_val="loki", uid="${loki_datasource}")


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        expr: PromQL or LogQL.
        legend: Grafana's template, such as "{{command}}".
        exemplars: Show the traces behind a histogram; those of quantiles are shown anyway.
        unit: Grafana's id, where it is not the panel's: such a query has its axis on the right.
    """

    expr: str
    legend: str = ""
    exemplars: bool = False
    unit: str = ""

    @property
    def traced(self) -> bool:
        """Whether Grafana also asks for exemplars."""
        return self.exemplars or "histogram_quantile(" in self.expr


def number(
    title: str,
    says: str,
    unit: str,
    query: Query,
    *,
    line: Line | None = None,
    empty: str = "none",
    width: int = 4,
    leads_to: str = "",
) -> Panel:
    """Return one number with its recent course, coloured by the alert's threshold.

    Args:
        title: Of the panel.
        says: What it shows and what to make of it.
        unit: Grafana's id of the unit.
        query: Its value.
        line: The alert whose threshold colours it.
        empty: What stands there without a value.
        width: Of 24.
        leads_to: The uid of the dashboard that says more; without one, the log lines of the same services do.
    """
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
        .links([to_board(leads_to) if leads_to else to_logs()])
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
    logs: bool = True,
    story: Story | None = None,
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
        story: Which of these lines, and which traces, tell what the panel counts.
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
        panel.links(_ways(story))
    if story is not None and story.label:
        panel.data_links([to_logs_of_label(story.label)])
    for number_of_query, query in enumerate(queries):
        panel.with_target(_target(query))
        if query.unit:
            panel.override_by_query(chr(ord("A") + number_of_query), _on_the_right(query.unit))
    return panel


def heat(
    title: str, says: str, unit: str, query: Query, *, width: int = 8, story: Story | None = None
) -> Panel:
    """Return the distribution of a histogram over time; a dot is one trace."""
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
        .links(_ways(story))
        .with_target(
            _target(query)
            .exemplar(True)
            .format(prometheus_model.PromQueryFormat.HEATMAP)
            .legend_format("{{le}}")
        )
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
    runbooks: bool = False,
) -> Panel:
    """Return the present series as a table, without the columns in `hide`; with `runbooks` a row leads to its page."""
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
        .data_links([to_runbook()] if runbooks else [])
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


def _ways(story: Story | None) -> list[Builder[model.DashboardLink]]:
    if story is None:
        return [to_logs()]
    return [to_logs(story.event), *([to_traces(story)] if story.span else [])]


def _on_the_right(unit: str) -> list[model.DynamicConfigValue]:
    return [
        model.DynamicConfigValue("unit", unit),
        model.DynamicConfigValue("custom.axisPlacement", common.AxisPlacement.RIGHT.value),
    ]


def _target(query: Query, *, instant: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).datasource(PROMETHEUS)
    if instant:
        return target.instant()
    return target.range().exemplar(query.traced)


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
