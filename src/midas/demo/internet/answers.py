"""How long a person looked at an unanswered message: measured where the person is, not where the bot is.

The clock of an update starts when the bot is given it and stops with the first thing that reaches that chat: a
message, an edited message, or the answer to the pressed button. A call that the server refused reached nobody.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from midas.demo.internet.latencies import Latencies

GIVE_UP_SECONDS = 15.0  # nobody looks at a chat longer than this; what comes later is news, not an answer


@dataclass(frozen=True, slots=True)
class _Waiting:
    chat_id: int
    callback_id: str | None
    since: float


class _Period:
    """What was counted since one moment."""

    def __init__(self) -> None:
        self.latencies = Latencies()
        self.unanswered = 0
        self.errors = 0

    def summary(self) -> dict[str, float | int | None]:
        return {
            "count": self.latencies.count,
            "p50": _rounded(self.latencies.quantile(0.5)),
            "p99": _rounded(self.latencies.quantile(0.99)),
            "max": _rounded(self.latencies.longest) if self.latencies.count else None,
            "unanswered": self.unanswered,
            "errors": self.errors,
        }


class AnswerBook:
    """The open updates of every chat, and how long the answered ones took."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, give_up_seconds: float = GIVE_UP_SECONDS
    ) -> None:
        """Start with an empty book.

        Args:
            clock: Seconds, monotonic.
            give_up_seconds: An update older than this counts as unanswered.
        """
        self._clock = clock
        self._give_up_seconds = give_up_seconds
        self._waiting: dict[int, _Waiting] = {}  # in the order of delivery, so the oldest is the first
        self._whole = _Period()
        self._recent = _Period()

    def delivered(self, update_id: int, chat_id: int, callback_id: str | None = None) -> None:
        """Start the clock of an update that the bot is being given for the first time."""
        self._give_up()
        self._waiting[update_id] = _Waiting(chat_id, callback_id, self._clock())

    def reached(self, chat_id: int) -> None:
        """Stop the clocks of this chat: something appeared in it."""
        self._give_up()
        self._settle([key for key, waiting in self._waiting.items() if waiting.chat_id == chat_id])

    def called_back(self, callback_id: str) -> None:
        """Stop the clock of one pressed button: it was answered."""
        self._give_up()
        self._settle([key for key, waiting in self._waiting.items() if waiting.callback_id == callback_id])

    def refused(self) -> None:
        """Count a call of the bot that ended in an error."""
        self._whole.errors += 1
        self._recent.errors += 1

    def start_period(self) -> None:
        """Begin the recent period anew; updates still open count in it when they are answered."""
        self._give_up()
        self._recent = _Period()

    def summary(self) -> dict[str, dict[str, float | int | None]]:
        """Return count, p50, p99, max (seconds), unanswered and errors, over the whole run and recently."""
        self._give_up()
        return {"answers": self._whole.summary(), "since_switch": self._recent.summary()}

    def _settle(self, update_ids: list[int]) -> None:
        now = self._clock()
        for update_id in update_ids:
            seconds = now - self._waiting.pop(update_id).since
            self._whole.latencies.observe(seconds)
            self._recent.latencies.observe(seconds)

    def _give_up(self) -> None:
        limit = self._clock() - self._give_up_seconds
        while self._waiting:
            update_id, waiting = next(iter(self._waiting.items()))
            if waiting.since > limit:
                return
            del self._waiting[update_id]
            self._whole.unanswered += 1
            self._recent.unanswered += 1


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
