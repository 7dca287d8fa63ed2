"""AI Quality and Cost: is the assistant right, quick, and worth its money?"""

from __future__ import annotations

from botmetry.stack.dashboards.alert_line import line_of
from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.panels import Panel, Query, Story, heat, lines, number
from botmetry.stack.dashboards.query import (
    buckets,
    count_rate,
    level,
    m,
    mean,
    quantile,
    rate,
    ratio,
    recorded,
)
from botmetry.stack.rulebook import Rulebook

__all__ = ["ai"]

_FAILED = "error|timeout"
_AN_HOUR = 3600

# Where the log and the traces tell more.
_TASKS = Story("ai.task_finished", "ai.task", "task")
_ANSWERS = Story("ai.categorized", "ai.task", "task")
_CALLS = Story("ai.inference_finished", "chat ", "gen_ai_request_model")


def ai(rules: Rulebook) -> Board:
    """Build the dashboard."""
    return (
        Board(
            "botmetry-ai", "AI Quality and Cost", "Is the AI sure, right, quick, and worth its money?", "ai"
        )
        .row(
            "Is it fine?",
            confidence(),
            manual_share(rules),
            corrected_share(rules),
            failed_share(rules),
            slowest_task(rules),
            cost_today(rules),
        )
        .row(
            "Quality",
            confidence_by_task(),
            confidence_spread(),
            decisions(),
            corrections(rules),
            fallbacks(),
            confidence_of_last_hour(rules),
        )
        .row("Speed", tasks(), task_times(rules), task_time_spread())
        .row("Confirmations", pending(), confirmations(), patience())
        .row(
            "Models and money",
            tokens(),
            cost(),
            model_calls(),
            model_times(),
            model_time_spread(),
            model_tokens(),
        )
    )


def confidence() -> Panel:
    return number(
        "Confidence", "Mean confidence of the answers.", "percentunit", Query(mean(m.ai_confidence_ratio))
    )


def manual_share(rules: Rulebook) -> Panel:
    share = ratio(rate(m.ai_confirmations_total, mode="manual"), rate(m.ai_confirmations_total))
    says = "Share of answers put to the user."
    return number("Asked the user", says, "percentunit", Query(share), line=line_of(rules, "AILowConfidence"))


def corrected_share(rules: Rulebook) -> Panel:
    query = Query(recorded(rules.recording("service_task:ai_corrections:ratio_rate1h")))
    line = line_of(rules, "AIQualityFalling")
    return number(
        "Corrected", "Share of the last hour's answers that users corrected.", "percentunit", query, line=line
    )


def failed_share(rules: Rulebook) -> Panel:
    share = ratio(rate(m.ai_requests_total, outcome=_FAILED), rate(m.ai_requests_total))
    line = line_of(rules, "AIRequestsFailing")
    return number(
        "Failed",
        "Share of AI tasks that ended in an error or a timeout.",
        "percentunit",
        Query(share),
        line=line,
    )


def slowest_task(rules: Rulebook) -> Panel:
    query = Query(f"max({quantile(0.95, m.ai_request_duration_seconds, 'service', 'task')})")
    says = "95 of 100 runs of the slowest task are done faster than this."
    return number("Slowest task p95", says, "s", query, line=line_of(rules, "AISlowProcessing"))


def cost_today(rules: Rulebook) -> Panel:
    total = recorded(rules.recording("service_model:ai_cost_usd:increase1d"), "service", "model")
    return number(
        "Cost in 24 h",
        "Money spent on model calls in the last 24 hours.",
        "currencyUSD",
        Query(f"sum({total})"),
    )


def confidence_by_task() -> Panel:
    query = Query(mean(m.ai_confidence_ratio, "task"), "{{task}}")
    return lines(
        "Confidence by task",
        "Mean confidence. A step down on a deploy is the deploy.",
        "percentunit",
        query,
        top=1,
        story=_ANSWERS,
    )


def confidence_spread() -> Panel:
    return heat(
        "Spread of confidence",
        "A band near 1 and one near 0 is honest; one in the middle is a coin.",
        "percentunit",
        Query(buckets(m.ai_confidence_ratio)),
        story=_ANSWERS,
    )


def decisions() -> Panel:
    query = Query(rate(m.ai_confirmations_total, "task", "mode"), "{{task}} {{mode}}")
    says = "auto: accepted by itself. manual: put to the user."
    return lines("Accepted or asked", says, "ops", query, story=_ANSWERS)


def corrections(rules: Rulebook) -> Panel:
    share = Query(
        recorded(rules.recording("service_task:ai_corrections:ratio_rate1h"), "task"),
        "{{task}} share of the last hour",
    )
    pace = Query(rate(m.ai_corrections_total, "task"), "{{task}} corrections a second", unit="ops")
    says = "The price of being wrong. The share is of all decisions about that task; on the right, how many."
    line = line_of(rules, "AIQualityFalling")
    told = Story("ai.corrected", label="task")
    return lines("Corrections", says, "percentunit", share, pace, line=line, story=told)


def fallbacks() -> Panel:
    query = Query(rate(m.ai_fallbacks_total, "task", "reason"), "{{task}} {{reason}}")
    says = "Answers given without the model, by reason."
    return lines("Fallbacks", says, "ops", query, story=_TASKS)


def confidence_of_last_hour(rules: Rulebook) -> Panel:
    series = rules.recording("service_task:ai_confidence_ratio:mean_rate1h")
    query = Query(recorded(series, "task"), "{{task}}")
    return lines(
        "Confidence, hour by hour",
        "Slow drift, which the five-minute mean hides.",
        "percentunit",
        query,
        top=1,
    )


def tasks() -> Panel:
    query = Query(rate(m.ai_requests_total, "task", "model", "outcome"), "{{task}} {{model}} {{outcome}}")
    return lines(
        "AI tasks",
        "Tasks a second. The model is what answered: a language model, rules, statistics.",
        "reqps",
        query,
        story=_TASKS,
    )


def task_times(rules: Rulebook) -> Panel:
    queries = [
        Query(
            quantile(share, m.ai_request_duration_seconds, "task", "model"),
            f"{{{{task}}}} {{{{model}}}} p{share * 100:g}",
        )
        for share in (0.5, 0.95)
    ]
    line = line_of(rules, "AISlowProcessing")
    return lines("AI time", "A dot is one traced task: click it.", "s", *queries, line=line, story=_TASKS)


def task_time_spread() -> Panel:
    return heat(
        "Spread of AI times",
        "Mappings answer in microseconds, models in seconds: two bands are normal.",
        "s",
        Query(buckets(m.ai_request_duration_seconds)),
        story=_TASKS,
    )


def pending() -> Panel:
    query = Query(level(m.confirmations_pending), "pending")
    return lines(
        "Waiting for users", "Open questions; those nobody answers expire after 24 hours.", "short", query
    )


def confirmations() -> Panel:
    query = Query(rate(m.confirmations_total, "outcome"), "{{outcome}}")
    return lines("Answers of users", "Confirmed, corrected, rejected, expired, a second.", "ops", query)


def patience() -> Panel:
    return heat(
        "Time to answer", "How long users take to decide.", "s", Query(buckets(m.confirmation_wait_seconds))
    )


def tokens() -> Panel:
    query = Query(rate(m.ai_tokens_total, "model", "direction"), "{{model}} {{direction}}")
    return lines("Tokens", "Tokens a second, read and written.", "cps", query, story=_CALLS)


def cost() -> Panel:
    query = Query(f"{rate(m.ai_cost_usd_total, 'model')} * {_AN_HOUR}", "{{model}}")
    return lines("Cost an hour", "US dollars an hour at the present pace.", "currencyUSD", query)


def model_calls() -> Panel:
    calls, provider = m.gen_ai_client_inference_duration_seconds, "gen_ai_provider_name"
    share = ratio(count_rate(calls, provider, error_type=".+"), count_rate(calls, provider))
    query = Query(share, "{{gen_ai_provider_name}}")
    return lines(
        "Model calls failed",
        "Share of calls to each provider that ended in an error.",
        "percentunit",
        query,
        top=1,
        story=Story("ai.inference_finished", "chat ", failed=True),
    )


def model_times() -> Panel:
    by = ("gen_ai_operation_name", "gen_ai_request_model")
    query = Query(
        quantile(0.95, m.gen_ai_client_inference_duration_seconds, *by),
        "{{gen_ai_request_model}} {{gen_ai_operation_name}} p95",
    )
    return lines("Model time", "What the provider takes for one call.", "s", query, story=_CALLS)


def model_time_spread() -> Panel:
    return heat(
        "Spread of model times",
        "How many calls took how long.",
        "s",
        Query(buckets(m.gen_ai_client_inference_duration_seconds)),
        story=_CALLS,
    )


def model_tokens() -> Panel:
    model = "gen_ai_request_model"
    return lines(
        "Tokens of model calls",
        "Input and output tokens a second as the provider bills them.",
        "cps",
        Query(
            rate(m.gen_ai_client_inference_usage_input_tokens_total, model), "{{gen_ai_request_model}} input"
        ),
        Query(
            rate(m.gen_ai_client_inference_usage_output_tokens_total, model),
            "{{gen_ai_request_model}} output",
        ),
        story=_CALLS,
    )
