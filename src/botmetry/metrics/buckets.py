"""Histogram bounds, each tuple with the argument for its numbers.

A bound belongs where somebody will ask "how many took longer than this?": every threshold of an alert is an
edge, so that a quantile near it is not an interpolation across a wide bucket.
"""

from __future__ import annotations

__all__ = [
    "AI_SECONDS",
    "BOT_API_SECONDS",
    "BOT_SECONDS",
    "CELERY_RUNTIME_SECONDS",
    "CONFIRMATION_WAIT_SECONDS",
    "DATABASE_SECONDS",
    "GEN_AI_SECONDS",
    "LOOP_LAG_SECONDS",
    "POLLING_LAG_SECONDS",
    "QUEUE_WAIT_SECONDS",
    "RATIO",
    "SAGA_STEP_SECONDS",
    "SYNC_SECONDS",
    "TASK_SECONDS",
]

# The OpenTelemetry convention for db.client.operation.duration (semantic-conventions, database metrics), and 2 s, which
# DatabaseSlowQueries compares with: between 1 and 5 s a quantile would be off by up to a factor of four.
DATABASE_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)

# The user waits in front of a chat: 0.1 s feels immediate and 1 s keeps the train of thought (Nielsen 1993); 1 s is
# also the promise for every answer. Past 10 s the user has gone.
BOT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# One HTTPS round trip to the Bot API takes 30 to 300 ms; a long upload may take a minute.
BOT_API_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# A mapping answers in microseconds, a model in 0.5 to 30 s, a reasoning model in up to 2 min; AISlowProcessing
# compares with 10 s.
AI_SECONDS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)

# The OpenTelemetry GenAI convention: 10 ms doubled thirteen times.
GEN_AI_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)

# Confidences crowd near 1, where the threshold for automatic confirmation lies: 0.85 by default, others use 0.75
# or 0.95.
RATIO = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)

# Background work: from a no-op to a batch of minutes. 30 s is the default timeout of a task.
TASK_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

# A step is a transaction of its own or a call to another service: from a row written to a payment that takes a minute;
# 30 s is what other people's services are usually given.
SAGA_STEP_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# Jobs are what nobody waits for: an e-mail takes a tenth of a second, a batch of embeddings minutes, a nightly summary
# an hour. 300 s is how often the most frequent schedule runs, 3600 s after what Redis' visibility timeout lets a task
# that is acknowledged late run twice.
CELERY_RUNTIME_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

# Waiting in a queue: pickup takes milliseconds, a backlog minutes, a dead worker an hour.
QUEUE_WAIT_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

# Importing a statement: a page of rows to a file of 50,000.
SYNC_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

# People answer at once, in a pause, in the evening, or not before the confirmation expires after 24 h.
CONFIRMATION_WAIT_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0)

# Telegram dates messages in whole seconds, so nothing below 1 s can be told apart.
POLLING_LAG_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

# A healthy loop is late by well under 1 ms; 5 ms is one switch interval of the interpreter; 0.1 s is felt by users.
LOOP_LAG_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
