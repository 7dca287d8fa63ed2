"""Database, and Redis: how fast the stores answer, as the client sees it."""

from __future__ import annotations

from botmetry.stack.dashboards.alert_line import Line, line_of
from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.panels import Panel, Query, Story, heat, lines, number
from botmetry.stack.dashboards.query import buckets, count_rate, level, m, quantile, rate, ratio
from botmetry.stack.rulebook import Rulebook

__all__ = ["database", "redis"]

_FAILED = "error|timeout"

# Where the log and the traces tell more. Spans of statements are called as the statement is: SELECT transactions.
_STATEMENTS = Story("db.query_executed", "(SELECT|INSERT|UPDATE|DELETE) ", "table")
_CONNECTING = Story("CONNECT", "CONNECT ")
_COMMANDS = Story("redis.operation_executed", "redis ", "operation")


def database(rules: Rulebook) -> Board:
    """Build the dashboard of PostgreSQL."""
    slow = line_of(rules, "DatabaseSlowQueries")
    lost = line_of(rules, "DatabaseConnectionErrors")
    return (
        Board(
            "botmetry-database",
            "Database",
            "Does the database answer in time, and are there connections left?",
            "database",
        )
        .row(
            "Is it fine?",
            queries(),
            queries_failed(),
            unconnected(lost),
            slowest_statement(slow),
            pool_used(),
            pool_wait(),
            rows_busy(),
        )
        .row(
            "Statements",
            statements(),
            statement_times(slow),
            statement_spread(),
            failures(),
            unconnected_over_time(lost),
            time_spent(),
        )
        .row("Connections", pool(), pool_waits(), pool_wait_spread())
    )


def redis(rules: Rulebook) -> Board:
    """Build the dashboard of Redis."""
    lost = line_of(rules, "RedisConnectionErrors")
    return (
        Board("botmetry-redis", "Redis", "Can Redis be reached, and does it answer at once?", "redis")
        .row(
            "Is it fine?",
            commands(),
            commands_failed(),
            connection_errors(lost),
            command_time(),
            redis_pool_used(),
        )
        .row(
            "Commands",
            commands_by_name(),
            command_times(),
            command_spread(),
            command_failures(),
            lost_over_time(lost),
            redis_pool(),
        )
    )


def queries() -> Panel:
    return number(
        "Statements", "Statements a second.", "ops", Query(rate(m.db_queries_total)), empty="0", width=3
    )


def queries_failed() -> Panel:
    share = ratio(rate(m.db_queries_total, outcome=_FAILED), rate(m.db_queries_total))
    return number(
        "Failed",
        "Share of statements that ended in an error or a timeout.",
        "percentunit",
        Query(share),
        width=3,
    )


def unconnected(lost: Line | None) -> Panel:
    query = Query(rate(m.db_queries_total, operation="CONNECT", outcome=_FAILED))
    return number("Connection errors", "A second. Any is too many.", "ops", query, line=lost)


def slowest_statement(slow: Line | None) -> Panel:
    query = Query(f"max({quantile(0.95, m.db_query_duration_seconds, 'service', 'operation', 'table')})")
    return number("Slowest p95", "Of every kind of statement the slowest.", "s", query, line=slow)


def pool_used() -> Panel:
    share = (
        f"{level(m.db_pool_connections, state='in_use')} / ({level(m.db_pool_connections, state='max')} > 0)"
    )
    return number(
        "Pool in use",
        "At 100% the next statement waits for a connection.",
        "percentunit",
        Query(share),
        width=3,
    )


def pool_wait() -> Panel:
    query = Query(quantile(0.95, m.db_pool_wait_seconds))
    return number("Wait for a connection p95", "Should be far below the statements themselves.", "s", query)


def rows_busy() -> Panel:
    query = Query(level(m.db_pool_connections, state="in_use"))
    return number("Connections in use", "At this moment, in all processes.", "short", query, width=3)


def statements() -> Panel:
    query = Query(rate(m.db_queries_total, "operation", "table"), "{{operation}} {{table}}")
    says = "Statements a second by kind and table."
    return lines("Statements by table", says, "ops", query, story=_STATEMENTS)


def statement_times(slow: Line | None) -> Panel:
    query = Query(
        quantile(0.95, m.db_query_duration_seconds, "operation", "table"),
        "{{operation}} {{table}} p95",
    )
    says = "As the client sees it, waiting for locks included. A dot is one traced statement."
    return lines("Statement time", says, "s", query, line=slow, story=_STATEMENTS)


def statement_spread() -> Panel:
    return heat(
        "Spread of statement times",
        "How many statements took how long.",
        "s",
        Query(buckets(m.db_query_duration_seconds)),
        story=_STATEMENTS,
    )


def failures() -> Panel:
    query = Query(rate(m.db_queries_total, "operation", "table", outcome=_FAILED), "{{operation}} {{table}}")
    return lines("Failed statements", "A second, by kind and table.", "ops", query, story=_STATEMENTS)


def time_spent() -> Panel:
    busy = Query(count_rate(m.db_query_duration_seconds, "table"), "{{table}}")
    return lines("Load by table", "Statements a second a table: where an index would pay.", "ops", busy)


def unconnected_over_time(lost: Line | None) -> Panel:
    query = Query(rate(m.db_queries_total, "service", operation="CONNECT", outcome=_FAILED), "{{service}}")
    return lines(
        "Connection errors by service",
        "A second by service. Only one service: its network or its pool. All: PostgreSQL.",
        "ops",
        query,
        line=lost,
        story=_CONNECTING,
    )


def pool() -> Panel:
    query = Query(level(m.db_pool_connections, "service", "state"), "{{service}} {{state}}")
    return lines(
        "Pool", "in_use at max for long: the pool is the bottleneck, or connections leak.", "short", query
    )


def pool_waits() -> Panel:
    queries_ = [
        Query(quantile(share, m.db_pool_wait_seconds, "service"), f"{{{{service}}}} p{share * 100:g}")
        for share in (0.5, 0.95)
    ]
    return lines("Wait for a connection", "Time before a statement could even be sent.", "s", *queries_)


def pool_wait_spread() -> Panel:
    return heat("Spread of waits", "How many waited how long.", "s", Query(buckets(m.db_pool_wait_seconds)))


def commands() -> Panel:
    return number(
        "Commands",
        "Commands to Redis a second.",
        "ops",
        Query(rate(m.redis_operations_total)),
        empty="0",
        width=5,
    )


def commands_failed() -> Panel:
    share = ratio(rate(m.redis_operations_total, outcome=_FAILED), rate(m.redis_operations_total))
    return number(
        "Failed",
        "Share of commands that ended in an error or a timeout.",
        "percentunit",
        Query(share),
        width=5,
    )


def connection_errors(lost: Line | None) -> Panel:
    query = Query(rate(m.redis_connection_errors_total))
    return number("Connection errors", "A second. Any is too many.", "ops", query, line=lost, width=5)


def command_time() -> Panel:
    query = Query(quantile(0.95, m.redis_operation_duration_seconds))
    return number("Command time p95", "Below a few milliseconds on a healthy network.", "s", query, width=5)


def redis_pool_used() -> Panel:
    query = Query(level(m.redis_pool_connections, state="in_use"))
    return number("Connections in use", "At this moment, in all processes.", "short", query, width=4)


def commands_by_name() -> Panel:
    query = Query(rate(m.redis_operations_total, "operation", "outcome"), "{{operation}} {{outcome}}")
    says = "Commands a second by name and outcome."
    return lines("Commands by name", says, "ops", query, story=_COMMANDS)


def command_times() -> Panel:
    query = Query(quantile(0.95, m.redis_operation_duration_seconds, "operation"), "{{operation}} p95")
    return lines("Command time", "Blocking reads wait for data by design.", "s", query, story=_COMMANDS)


def command_spread() -> Panel:
    return heat(
        "Spread of command times",
        "How many commands took how long.",
        "s",
        Query(buckets(m.redis_operation_duration_seconds)),
        story=_COMMANDS,
    )


def command_failures() -> Panel:
    query = Query(rate(m.redis_operations_total, "operation", outcome=_FAILED), "{{operation}}")
    return lines("Failed commands", "A second, by name.", "ops", query, story=_COMMANDS)


def lost_over_time(lost: Line | None) -> Panel:
    query = Query(rate(m.redis_connection_errors_total, "service"), "{{service}}")
    return lines(
        "Connection errors by service",
        "A second by service. Only one service: its network. All: Redis.",
        "ops",
        query,
        line=lost,
        story=Story("redis."),
    )


def redis_pool() -> Panel:
    query = Query(level(m.redis_pool_connections, "service", "state"), "{{service}} {{state}}")
    return lines("Pool", "in_use that only grows is a leak.", "short", query)
