"""What people meet: the bot, the answers of the AI, what becomes of transactions, and what users confirm."""

from __future__ import annotations

from typing import Final

from botmetry.metrics import buckets
from botmetry.metrics.catalogue.rows import Rows, counter, gauge, histogram

__all__ = ["AI", "BOT", "CONFIRMATIONS", "TRANSACTIONS"]

BOT: Final[Rows] = (
    counter("bot_requests_total", ("command", "outcome"), "Commands handled."),
    histogram(
        "bot_request_duration_seconds", ("command",), buckets.BOT_SECONDS, "Time a command's handler took."
    ),
    gauge("bot_requests_in_progress", ("command",), "Commands being handled now."),
    counter("bot_errors_total", ("command", "error_type"), "Handlers that raised, by exception class."),
    counter("bot_updates_total", ("type",), "Updates received, by type."),
    gauge(
        "bot_active_users", ("window",), "Distinct users seen in the last 5m, 1h and 24h.", across="latest"
    ),
    counter("bot_api_calls_total", ("method", "outcome"), "Calls to the Bot API."),
    histogram(
        "bot_api_call_duration_seconds", ("method",), buckets.BOT_API_SECONDS, "Time a Bot API call took."
    ),
    counter("bot_api_retry_after_seconds_total", (), "Seconds the Bot API told us to wait (429)."),
    histogram(
        "bot_polling_lag_seconds",
        (),
        buckets.POLLING_LAG_SECONDS,
        "Age of an update when it reached us: now minus the date Telegram gave it.",
    ),
)

AI: Final[Rows] = (
    counter("ai_requests_total", ("task", "model", "outcome"), "AI tasks done."),
    histogram("ai_request_duration_seconds", ("task", "model"), buckets.AI_SECONDS, "Time an AI task took."),
    histogram("ai_confidence_ratio", ("task",), buckets.RATIO, "Confidence of the answers, 0 to 1."),
    counter("ai_confirmations_total", ("task", "mode"), "Answers accepted automatically or put to the user."),
    counter("ai_corrections_total", ("task",), "Answers that a user corrected."),
    counter("ai_fallbacks_total", ("task", "reason"), "Answers given without the model, by reason."),
    counter("ai_tokens_total", ("model", "direction"), "Tokens read (input) and written (output)."),
    counter("ai_cost_usd_total", ("model",), "Money spent on model calls, in US dollars."),
    histogram(
        "gen_ai_client_inference_duration_seconds",
        ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"),
        buckets.GEN_AI_SECONDS,
        "Time a model call took (OpenTelemetry gen_ai.client.inference.duration).",
    ),
    counter(
        "gen_ai_client_inference_usage_input_tokens_total",
        ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"),
        "Input tokens used (OpenTelemetry gen_ai.client.inference.usage.input_tokens).",
    ),
    counter(
        "gen_ai_client_inference_usage_output_tokens_total",
        ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"),
        "Output tokens used (OpenTelemetry gen_ai.client.inference.usage.output_tokens).",
    ),
)

TRANSACTIONS: Final[Rows] = (
    counter("transactions_synced_total", ("source",), "New transactions stored."),
    counter("transactions_categorized_total", ("category", "method"), "Transactions that got a category."),
    counter(
        "transactions_crypto_card_detected_total",
        ("provider",),
        "Transactions recognised as payments by a crypto card.",
    ),
    histogram(
        "transactions_sync_duration_seconds",
        ("source",),
        buckets.SYNC_SECONDS,
        "Time one import took, from bytes to rows.",
    ),
)

CONFIRMATIONS: Final[Rows] = (
    gauge("confirmations_pending", (), "Confirmations that wait for a user.", across="latest"),
    counter("confirmations_total", ("outcome",), "Confirmations that ended: confirmed, corrected, expired…"),
    histogram(
        "confirmation_wait_seconds",
        (),
        buckets.CONFIRMATION_WAIT_SECONDS,
        "Time from the question to the user's decision.",
    ),
)
