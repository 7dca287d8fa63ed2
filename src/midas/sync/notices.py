"""What people are to be told once something is done: put into a queue by whoever did it, sent by the bot."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from midas.queue import TaskQueueConfig

NOTICES: Final = "notices"
"""Name of the streams queue."""
TELL_IMPORTED: Final = "tell_imported"
"""Type of the task with an ``ImportNotice``."""
TELL_TRANSFERRED: Final = "tell_transferred"
"""Type of the task with a ``TransferNotice``."""

_RETRIES: Final = 8
"""With pauses that double from two seconds on, a messenger may be away for some minutes."""


class ImportNotice(msgspec.Struct, kw_only=True, frozen=True):
    """A statement was imported, or could not be and was taken back.

    Attributes:
        transaction_ids: What was new, and is on its way to the AI.
        done: Which of the two.
    """

    user_id: int
    chat_id: int
    name: str
    source: str
    found: int
    new: int
    queued: int
    transaction_ids: list[int]
    done: bool = True


class TransferNotice(msgspec.Struct, kw_only=True, frozen=True):
    """Money was moved, or was about to be and is where it was.

    Attributes:
        done: Which of the two.
    """

    user_id: int
    chat_id: int
    amount: Decimal
    currency: str
    from_card: str
    to_card: str
    done: bool


def notices_config(redis_url: str) -> TaskQueueConfig:
    """Give the queue as all that use it have to open it."""
    return TaskQueueConfig(
        redis_url=redis_url,
        name=NOTICES,
        consumer_group="bots",
        batch_size=50,
        max_retries=_RETRIES,
        retry_seconds=2.0,
        default_timeout=240.0,
        max_waiting=100_000,
    )
