"""Telemetry Itself: can what the other dashboards show be trusted, and are the processes well?"""

from __future__ import annotations

from botmetry.stack.dashboards.alert_line import Line, line_of
from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.panels import Panel, Query, Story, heat, lines, number, rows
from botmetry.stack.dashboards.query import buckets, level, m, quantile, rate, series_of
from botmetry.stack.rulebook import Rulebook

__all__ = ["telemetry"]


def telemetry(rules: Rulebook) -> Board:
    """Build the dashboard."""
    late = line_of(rules, "EventLoopLagging")
    return (
        Board(
            "botmetry-telemetry",
            "Telemetry Itself",
            "Can the other dashboards be trusted, and are the processes well?",
            "telemetry",
        )
        .row(
            "Is it fine?",
            all_up(rules),
            loop_lag(late),
            own_errors(rules),
            overflow(rules),
            logged_errors(rules),
            rules_failing(rules),
        )
        .row("Event loop", loop_lag_over_time(late), loop_lag_spread(), log_levels(rules))
        .row(
            "Telemetry",
            failing_parts(rules),
            series(),
            overflowing(rules),
            scrapes(),
            samples(),
            undelivered(rules),
        )
        .row("Processes", cpu(), memory(), descriptors(), uptime(), gc_runs(), gc_objects())
        .row("What runs", targets(), versions(), pythons(), firing(), folded=True)
    )


def all_up(rules: Rulebook) -> Panel:
    query = Query(level(m.up, over="min"))
    says = "1 while every process of the chosen services answers, 0 while one does not."
    return number("All up", says, "short", query, line=line_of(rules, "TargetDown"))


def loop_lag(late: Line | None) -> Panel:
    query = Query(f"max({quantile(0.99, m.event_loop_lag_seconds, 'service', 'instance')})")
    return number("Loop lag p99", "Of the process whose event loop is latest.", "s", query, line=late)


def own_errors(rules: Rulebook) -> Panel:
    query = Query(rate(m.telemetry_errors_total))
    says = "Failures of the telemetry itself, a second."
    return number("Telemetry errors", says, "ops", query, line=line_of(rules, "TelemetryFailing"), empty="0")


def overflow(rules: Rulebook) -> Panel:
    query = Query(rate(m.telemetry_series_overflow_total))
    says = "Look-ups past a metric's limit of series, a second."
    return number(
        "Series overflow", says, "ops", query, line=line_of(rules, "TelemetrySeriesOverflow"), empty="0"
    )


def logged_errors(rules: Rulebook) -> Panel:
    query = Query(rate(m.log_records_total, level="error|critical"))
    says = "Records of level error and critical, a second."
    return number("Errors logged", says, "ops", query, line=line_of(rules, "LogErrorBurst"), empty="0")


def rules_failing(rules: Rulebook) -> Panel:
    query = Query("sum(" + rate(m.prometheus_rule_evaluation_failures_total, "service") + ")")
    says = "Rules that Prometheus could not evaluate, a second. Choose All services to see it."
    return number(
        "Rules failing", says, "ops", query, line=line_of(rules, "PrometheusRulesFailing"), empty="0"
    )


def loop_lag_over_time(late: Line | None) -> Panel:
    query = Query(
        quantile(0.99, m.event_loop_lag_seconds, "service", "instance"), "{{service}} {{instance}} p99"
    )
    return lines(
        "Event loop lag",
        "How late the loop runs a timer: what blocks it blocks every user.",
        "s",
        query,
        line=late,
    )


def loop_lag_spread() -> Panel:
    return heat(
        "Spread of loop lag",
        "A rare long stall does not move a quantile; here it is a dot.",
        "s",
        Query(buckets(m.event_loop_lag_seconds)),
    )


def log_levels(rules: Rulebook) -> Panel:
    query = Query(rate(m.log_records_total, "level"), "{{level}}")
    says = "Records a second by level, other libraries' included."
    return lines(
        "Log records",
        says,
        "ops",
        query,
        line=line_of(rules, "LogErrorBurst"),
    )


def failing_parts(rules: Rulebook) -> Panel:
    query = Query(rate(m.telemetry_errors_total, "service", "component"), "{{service}} {{component}}")
    return lines(
        "Telemetry errors by component",
        "By the part that failed.",
        "ops",
        query,
        story=Story("telemetry.failed", label="component"),
        line=line_of(rules, "TelemetryFailing"),
    )


def series() -> Panel:
    query = Query(f"topk(10, {level(m.telemetry_series, 'service', 'metric')})", "{{service}} {{metric}}")
    return lines(
        "Largest metrics",
        "Series a metric has; a steady climb is a label with too many values.",
        "short",
        query,
    )


def overflowing(rules: Rulebook) -> Panel:
    query = Query(rate(m.telemetry_series_overflow_total, "service", "metric"), "{{service}} {{metric}}")
    says = "Metrics past their limit: new label values go to __other__."
    return lines(
        "Series overflow by metric", says, "ops", query, line=line_of(rules, "TelemetrySeriesOverflow")
    )


def scrapes() -> Panel:
    query = Query(level(m.scrape_duration_seconds, "job", "instance", over="max"), "{{job}} {{instance}}")
    return lines("Scrape time", "Above the scrape's timeout of 10 s the process counts as down.", "s", query)


def samples() -> Panel:
    query = Query(level(m.scrape_samples_scraped, "job", "instance", over="max"), "{{job}} {{instance}}")
    return lines(
        "Samples a scrape", "Past sample_limit in prometheus.yml the whole scrape is refused.", "short", query
    )


def undelivered(rules: Rulebook) -> Panel:
    query = Query(rate(m.alertmanager_notifications_failed_total, "integration"), "{{integration}} failed")
    sent = Query(rate(m.alertmanager_notifications_total, "integration"), "{{integration}} attempted")
    line = line_of(rules, "AlertmanagerNotificationsFailing")
    return lines(
        "Notifications",
        "What Alertmanager sends, and what fails. Choose All services to see it.",
        "ops",
        sent,
        query,
        line=line,
    )


def cpu() -> Panel:
    query = Query(rate(m.process_cpu_seconds_total, "service", "instance"), "{{service}} {{instance}}")
    return lines("CPU", "Share of one core. A loop at 100% is full.", "percentunit", query)


def memory() -> Panel:
    by = ("service", "instance")
    return lines(
        "Memory",
        "Resident memory that only grows is a leak; virtual is address space, mostly unused.",
        "bytes",
        Query(level(m.process_resident_memory_bytes, *by), "{{service}} {{instance}} resident"),
        Query(level(m.process_virtual_memory_bytes, *by), "{{service}} {{instance}} virtual"),
    )


def descriptors() -> Panel:
    by = ("service", "instance")
    share = f"{level(m.process_open_fds, *by)} / {level(m.process_max_fds, *by)}"
    return lines(
        "File descriptors",
        "Share of the limit in use; connections leak here first.",
        "percentunit",
        Query(share, "{{service}} {{instance}}"),
    )


def uptime() -> Panel:
    query = Query(
        f"time() - {level(m.process_start_time_seconds, 'service', 'instance', over='max')}",
        "{{service}} {{instance}}",
    )
    return lines("Uptime", "A sawtooth is a process that keeps dying.", "s", query)


def gc_runs() -> Panel:
    query = Query(
        rate(m.python_gc_collections_total, "service", "generation"), "{{service}} generation {{generation}}"
    )
    return lines("Garbage collections", "Runs a second; generation 2 stops the loop longest.", "ops", query)


def gc_objects() -> Panel:
    return lines(
        "Garbage",
        "Objects found in cycles, a second; uncollectable ones stay for ever.",
        "ops",
        Query(rate(m.python_gc_objects_collected_total, "service"), "{{service}} collected"),
        Query(rate(m.python_gc_objects_uncollectable_total, "service"), "{{service}} uncollectable"),
    )


def targets() -> Panel:
    return rows("Targets", "Every process that is scraped; Value 0 is down.", "short", Query(series_of(m.up)))


def versions() -> Panel:
    return rows(
        "Versions",
        "Which version of botmetry and of the program runs where.",
        "short",
        Query(series_of(m.botmetry_build_info)),
        hide=["Value"],
    )


def pythons() -> Panel:
    return rows(
        "Pythons", "Which Python runs where.", "short", Query(series_of(m.python_info)), hide=["Value"]
    )


def firing() -> Panel:
    query = Query(series_of(m.ALERTS, alertstate="firing"))
    return rows(
        "Alerts firing",
        "Watchdog belongs here: it always fires.",
        "short",
        query,
        hide=["Value", "alertstate"],
        runbooks=True,
    )
