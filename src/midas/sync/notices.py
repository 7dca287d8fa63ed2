"""The queue of what people are to be told: put in by whoever finished something, sent by the bot."""

from __future__ import annotations

from typing import Final

from midas.queue import TaskQueueConfig

NOTICES: Final = "notices"
"""Name of the streams queue."""

_RETRIES: Final = 8
"""With pauses that double from two seconds, a messenger may be away for some minutes."""


def notices_config(redis_url: str) -> TaskQueueConfig:
    """Give the queue as all that use it have to open it."""
    return TaskQueueConfig(
        redis_url=redis_url,
        name=NOTICES,
        consumer_group="bots",
        batch_size=50,
        max_retries=_RETRIES,
        retry_seconds=2.0,
        default_timeout=120.0,
        max_waiting=100_000,
    )
