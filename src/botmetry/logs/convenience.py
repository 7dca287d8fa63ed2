"""Events that every bot and worker writes, a method each: the name is constant, the level follows the outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

__all__ = ["FamilyEvents"]

_LEVELS: Final[Mapping[str, str]] = {"error": "error", "timeout": "warning"}


class FamilyEvents(ABC):
    """The events of the bot, AI, transactions, queue, database and redis families.

    The helpers of these families write the same events by themselves; call these methods where a helper does not
    fit. Further keyword arguments become fields of the line.
    """

    @abstractmethod
    def emit(self, level: str, event: str, *, fields: Mapping[str, object]) -> None:
        """Write one event."""

    def log_bot_request(self, command: str, outcome: str, duration_seconds: float, **fields: object) -> None:
        """Write `bot.request_handled`: a command was answered. The outcome is ok, error, cancelled or timeout."""
        known = {"command": command, "outcome": outcome, "duration_seconds": duration_seconds, **fields}
        self.emit(_LEVELS.get(outcome, "info"), "bot.request_handled", fields=known)

    def log_ai_categorization(self, category: str, confidence: float, method: str, **fields: object) -> None:
        """Write `ai.categorized`: the AI chose a category, `confidence` (0 to 1) sure, by a method such as `llm`."""
        known = {"category": category, "confidence": confidence, "method": method, **fields}
        self.emit("info", "ai.categorized", fields=known)

    def log_ai_correction(self, predicted: str, corrected: str, **fields: object) -> None:
        """Write `ai.corrected`: a person replaced what the AI had predicted."""
        self.emit("info", "ai.corrected", fields={"predicted": predicted, "corrected": corrected, **fields})

    def log_transaction_sync(self, source: str, count: int, **fields: object) -> None:
        """Write `transactions.synced`: `count` transactions came in from a source."""
        self.emit("info", "transactions.synced", fields={"source": source, "count": count, **fields})

    def log_queue_task(self, queue: str, task: str, outcome: str, **fields: object) -> None:
        """Write `queue.task_finished`: a worker is done with a task. Outcomes as in `log_bot_request`."""
        known = {"queue": queue, "task_type": task, "outcome": outcome, **fields}
        self.emit(_LEVELS.get(outcome, "info"), "queue.task_finished", fields=known)

    def log_db_query(self, operation: str, table: str, duration_seconds: float, **fields: object) -> None:
        """Write `db.query_executed`, at level debug unless a field `outcome` says that it failed."""
        known = {"operation": operation, "table": table, "duration_seconds": duration_seconds, **fields}
        self.emit(_LEVELS.get(str(fields.get("outcome")), "debug"), "db.query_executed", fields=known)

    def log_redis_operation(self, operation: str, duration_seconds: float, **fields: object) -> None:
        """Write `redis.operation_executed`, at level debug unless a field `outcome` says that it failed."""
        known = {"operation": operation, "duration_seconds": duration_seconds, **fields}
        self.emit(_LEVELS.get(str(fields.get("outcome")), "debug"), "redis.operation_executed", fields=known)
