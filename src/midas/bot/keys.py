"""Every Redis key of the bot, and nowhere else."""

from __future__ import annotations

from typing import Final

WATCHES: Final = "bot:watches"
"""Hash: id of a watch -> JSON of what is awaited and who is to be told."""


def told(task_id: str) -> str:
    """String: there when the message of a task was sent."""
    return f"bot:told:{task_id}"
