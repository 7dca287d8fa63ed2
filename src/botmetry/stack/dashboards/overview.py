"""Midas Bot Overview: is it fine, and if not, where to look next."""

from __future__ import annotations

from botmetry.stack.dashboards.alert_line import line_of
from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.panels import Panel, Query, Story, heat, lines, number
from botmetry.stack.dashboards.query import buckets, level, m, mean, quantile, rate, ratio
from botmetry.stack.rulebook import Rulebook

__all__ = ["overview"]

_FAILED = "error|timeout"

# Where the log and the traces tell more.
_COMMANDS = Story("bot.request_handled", "bot.command", "command")
_FAILURES = Story("bot.request_handled", "bot.command", "error_type", failed=True)
_CALLS = Story("bot.api_called", "bot.api", "method")
_IMPORTS = Story("transactions.synced", "transactions.sync", "source")
_AI_BOARD, _QUEUE_BOARD, _TELEMETRY_BOARD = "botmetry-ai", "botmetry-queues", "botmetry-telemetry"


def overview(rules: Rulebook) -> Board:
    """Build the dashboard."""
    return (
        Board(
            "botmetry-overview", "Midas Bot Overview", "Do users get their answers, in time and right?", "bot"
        )
        .row(
            "Is it fine?",
            requests(),
            failed_share(),
            errors(rules),
            answer_time(),
            active_users(rules),
            alerts_firing(),
            confidence(),
            auto_confirmed(rules),
            ai_time(rules),
            waiting_tasks(rules),
            oldest_task(rules),
            targets_down(rules),
        )
        .row(
            "What users do and get",
            requests_by_command(),
            answer_times(),
            answer_time_spread(),
            errors_by_type(rules),
            in_progress(),
            users_by_window(rules),
        )
        .row(
            "The way to Telegram",
            updates_by_type(),
            update_age(),
            update_age_spread(),
            api_calls(),
            api_times(),
            api_time_spread(),
            throttled(rules),
            folded=True,
        )
        .row(
            "Transactions",
            synced(),
            categorized(),
            categories(),
            sync_times(),
            sync_time_spread(),
            crypto_cards(),
            folded=True,
        )
    )


def requests() -> Panel:
    return number(
        "Commands", "Commands handled a second.", "reqps", Query(rate(m.bot_requests_total)), empty="0"
    )


def failed_share() -> Panel:
    share = ratio(rate(m.bot_requests_total, outcome=_FAILED), rate(m.bot_requests_total))
    return number(
        "Commands failed",
        "Share of commands that ended in an error or a timeout.",
        "percentunit",
        Query(share),
    )


def errors(rules: Rulebook) -> Panel:
    line = line_of(rules, "BotHighErrorRate")
    query = Query(rate(m.bot_errors_total))
    return number("Errors", "Exceptions of handlers a second.", "reqps", query, line=line, empty="0")


def answer_time() -> Panel:
    query = Query(quantile(0.95, m.bot_request_duration_seconds))
    return number("Answer time p95", "95 of 100 commands are handled faster than this.", "s", query)


def active_users(rules: Rulebook) -> Panel:
    query = Query(level(m.bot_active_users, window="5m"))
    says = "Distinct users in the last 5 minutes."
    return number("Active users", says, "short", query, line=line_of(rules, "BotNoActiveUsers"))


def alerts_firing() -> Panel:
    query = Query(level(m.ALERTS, over="count", alertstate="firing", severity="critical|warning"))
    return number(
        "Alerts firing",
        "Critical and warning alerts of the chosen services.",
        "short",
        query,
        empty="0",
        leads_to=_TELEMETRY_BOARD,
    )


def confidence() -> Panel:
    return number(
        "AI confidence",
        "Mean confidence of the answers, 0 to 1.",
        "percentunit",
        Query(mean(m.ai_confidence_ratio)),
        leads_to=_AI_BOARD,
    )


def auto_confirmed(rules: Rulebook) -> Panel:
    share = ratio(rate(m.ai_confirmations_total, mode="auto"), rate(m.ai_confirmations_total))
    line = line_of(rules, "AILowConfidence", complement=True)
    says = "Share of answers that nobody had to confirm."
    return number("Auto-confirmed", says, "percentunit", Query(share), line=line, leads_to=_AI_BOARD)


def ai_time(rules: Rulebook) -> Panel:
    query = Query(quantile(0.95, m.ai_request_duration_seconds))
    line = line_of(rules, "AISlowProcessing")
    each = "; the alert looks at each task by itself" if line else ""
    says = f"95 of 100 AI tasks are done faster than this{each}."
    return number("AI time p95", says, "s", query, line=line, leads_to=_AI_BOARD)


def waiting_tasks(rules: Rulebook) -> Panel:
    query = Query(level(m.queue_size, state="ready"))
    says = "Tasks that wait for a worker, in the longest queue."
    line = line_of(rules, "QueueBacklog")
    return number("Waiting tasks", says, "short", query, line=line, leads_to=_QUEUE_BOARD)


def oldest_task(rules: Rulebook) -> Panel:
    query = Query(level(m.queue_oldest_task_age_seconds))
    says = "Age of the oldest waiting task of any queue."
    line = line_of(rules, "QueueOldestTaskTooOld")
    return number("Oldest task", says, "s", query, line=line, leads_to=_QUEUE_BOARD)


def targets_down(rules: Rulebook) -> Panel:
    query = Query(level(m.up, over="min"))
    says = "1 while every process of the chosen services answers, 0 while one does not."
    line = line_of(rules, "TargetDown")
    return number("All up", says, "short", query, line=line, leads_to=_TELEMETRY_BOARD)


def requests_by_command() -> Panel:
    query = Query(rate(m.bot_requests_total, "command", "outcome"), "{{command}} {{outcome}}")
    return lines(
        "Commands by outcome",
        "Commands a second; cancelled ones were given up by the bot's stop.",
        "reqps",
        query,
        story=_COMMANDS,
    )


def answer_times() -> Panel:
    queries = [
        Query(
            quantile(share, m.bot_request_duration_seconds, "command"),
            f"{{{{command}}}} p{share * 100:g}",
        )
        for share in (0.5, 0.95, 0.99)
    ]
    says = "Time in the handler. A dot is one traced command: click it."
    return lines("Answer time by command", says, "s", *queries, story=_COMMANDS)


def answer_time_spread() -> Panel:
    query = Query(buckets(m.bot_request_duration_seconds))
    return heat("Spread of answer times", "How many commands took how long.", "s", query, story=_COMMANDS)


def errors_by_type(rules: Rulebook) -> Panel:
    query = Query(rate(m.bot_errors_total, "command", "error_type"), "{{command}} {{error_type}}")
    says = "Exceptions a second by command and class."
    return lines(
        "Errors by type",
        says,
        "reqps",
        query,
        line=line_of(rules, "BotHighErrorRate"),
        story=_FAILURES,
    )


def in_progress() -> Panel:
    query = Query(level(m.bot_requests_in_progress, "command"), "{{command}}")
    says = "A staircase that never comes down is a handler that hangs."
    return lines("Commands in progress", says, "short", query, story=_COMMANDS)


def users_by_window(rules: Rulebook) -> Panel:
    query = Query(level(m.bot_active_users, "window"), "last {{window}}")
    line = line_of(rules, "BotNoActiveUsers")
    return lines(
        "Active users by window",
        "Distinct users in the last 5 minutes, hour and day.",
        "short",
        query,
        line=line,
    )


def updates_by_type() -> Panel:
    query = Query(rate(m.bot_updates_total, "type"), "{{type}}")
    return lines("Updates by type", "What Telegram delivers a second.", "reqps", query)


def update_age() -> Panel:
    queries = [
        Query(quantile(share, m.bot_polling_lag_seconds), f"p{share * 100:g}") for share in (0.5, 0.95)
    ]
    return lines(
        "Age of updates",
        "How old a message is when it arrives; high after a stop, while it catches up.",
        "s",
        *queries,
    )


def update_age_spread() -> Panel:
    return heat(
        "Spread of update ages",
        "How many updates arrived how late.",
        "s",
        Query(buckets(m.bot_polling_lag_seconds)),
    )


def api_calls() -> Panel:
    query = Query(rate(m.bot_api_calls_total, "method", "outcome"), "{{method}} {{outcome}}")
    says = "Calls a second by method and outcome. getUpdates is the long poll."
    return lines("Bot API calls", says, "reqps", query, story=_CALLS)


def api_times() -> Panel:
    query = Query(quantile(0.95, m.bot_api_call_duration_seconds, "method"), "{{method}} p95")
    says = "getUpdates waits for messages by design: its time is no fault."
    return lines("Bot API time", says, "s", query, story=_CALLS)


def api_time_spread() -> Panel:
    query = Query(buckets(m.bot_api_call_duration_seconds))
    return heat("Spread of Bot API times", "How many calls took how long.", "s", query, story=_CALLS)


def throttled(rules: Rulebook) -> Panel:
    query = Query(rate(m.bot_api_retry_after_seconds_total), "told to wait")
    says = "Share of the time in which Telegram tells the bot to wait."
    return lines("Throttled by Telegram", says, "percentunit", query, line=line_of(rules, "BotRateLimited"))


def synced() -> Panel:
    query = Query(rate(m.transactions_synced_total, "source"), "{{source}}")
    return lines(
        "Transactions imported",
        "New transactions a second by source; known ones do not count.",
        "ops",
        query,
        story=_IMPORTS,
    )


def categorized() -> Panel:
    query = Query(rate(m.transactions_categorized_total, "method"), "{{method}}")
    return lines(
        "Categorized by",
        "How categories are found; more llm costs more, more none helps nobody.",
        "ops",
        query,
    )


def categories() -> Panel:
    query = Query(rate(m.transactions_categorized_total, "category"), "{{category}}")
    return lines(
        "Categories",
        "What money is spent on. Many Other or Uncategorized: the AI is away.",
        "ops",
        query,
        stacked=True,
    )


def sync_times() -> Panel:
    query = Query(quantile(0.95, m.transactions_sync_duration_seconds, "source"), "{{source}} p95")
    return lines("Import time", "From the file's bytes to rows.", "s", query, story=_IMPORTS)


def sync_time_spread() -> Panel:
    return heat(
        "Spread of import times",
        "How many imports took how long.",
        "s",
        Query(buckets(m.transactions_sync_duration_seconds)),
        story=_IMPORTS,
    )


def crypto_cards() -> Panel:
    query = Query(rate(m.transactions_crypto_card_detected_total, "provider"), "{{provider}}")
    return lines("Crypto card payments", "Recognised a second by provider.", "ops", query)
