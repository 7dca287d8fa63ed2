"""The dozen figures of the demo's one screen: what midas says of itself, what its users see, what it costs."""

from collections import deque
from dataclasses import dataclass

from midas.demo.samples import Reading, quantile
from midas.demo.usage import Usage

__all__ = ["Answers", "Figures", "History", "Work"]

_RATE_SECONDS = (
    15.0  # shorter than anybody waits for a number to move, longer than the gaps between two users
)
_QUANTILE_SECONDS = 60.0  # a p95 needs a few dozen requests behind it


@dataclass(frozen=True, slots=True)
class Work:
    """What midas' own metrics say; None where nothing is known yet.

    Attributes:
        requests_per_second: Of the last 15 s (live) or of the whole run (at the end), as all that is not a total.
        p95_seconds: Time in the bot's handlers; of the last minute when live, as the next two.
        confidence: Mean, 0 to 1.
        auto_confirmed: Share of confirmations without a person's help, 0 to 1.
        queue_size: Tasks that wait, now.
        oldest_task_seconds: How long the first of them has waited.
        requests: Total since the start.
        tasks: Finished AI tasks, total since the start.
    """

    requests_per_second: float
    p95_seconds: float | None
    confidence: float | None
    auto_confirmed: float | None
    queue_size: int | None
    oldest_task_seconds: float | None
    requests: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Answers:
    """What the users saw, measured on their side: seconds from a message sent to the bot's answer received."""

    count: int = 0
    p50_seconds: float | None = None
    p99_seconds: float | None = None
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is shown.

    Attributes:
        answers: Over the whole run.
        answers_since_switch: Since a fault was last begun or ended.
        alerts: Names of the alerts that fire; None when there is no Prometheus.
        pending: Names of those whose condition holds, but not yet for as long as their rule wants.
    """

    work: Work
    answers: Answers
    answers_since_switch: Answers
    usage: Usage
    alerts: tuple[str, ...] | None
    pending: tuple[str, ...] = ()


class History:
    """The readings of the last minute, and the first of all."""

    def __init__(self, first: Reading) -> None:
        self._first = first
        self._recent: deque[Reading] = deque([first])

    def add(self, reading: Reading) -> None:
        """Take in a new reading and forget those that no figure needs any more."""
        self._recent.append(reading)
        while len(self._recent) > 2 and self._recent[1].at <= reading.at - _QUANTILE_SECONDS:  # noqa: PLR2004
            self._recent.popleft()

    def live(self) -> Work:
        """Return the figures of the last seconds."""
        return self._work(self._before(_RATE_SECONDS), self._before(_QUANTILE_SECONDS))

    def whole(self) -> Work:
        """Return the figures of the whole run."""
        return self._work(self._first, self._first)

    def _before(self, seconds: float) -> Reading:
        """Return the youngest reading that is at least `seconds` older than the newest, else the oldest one kept."""
        limit = self._recent[-1].at - seconds
        old = [reading for reading in self._recent if reading.at <= limit]
        return old[-1] if old else self._recent[0]

    def _work(self, short: Reading, long: Reading) -> Work:
        now, first = self._recent[-1], self._first
        elapsed = now.at - short.at
        size = [now.gauge("queue_size", state) for state in ("ready", "delayed")]
        return Work(
            requests_per_second=_grown(now, short, "bot_requests_total") / elapsed if elapsed > 0 else 0.0,
            p95_seconds=quantile(0.95, now.buckets_since(long, "bot_request_duration_seconds_bucket")),
            confidence=_mean(now, long, "ai_confidence_ratio"),
            auto_confirmed=_share(now, long, "ai_confirmations_total", "auto"),
            queue_size=int(sum(n or 0 for n in size)) if any(n is not None for n in size) else None,
            oldest_task_seconds=now.gauge("queue_oldest_task_age_seconds"),
            requests=int(_grown(now, first, "bot_requests_total")),
            tasks=int(_grown(now, first, "queue_tasks_completed_total")),
        )


def _grown(now: Reading, then: Reading, name: str, label: str | None = None) -> float:
    return now.counter(name, label) - then.counter(name, label)


def _mean(now: Reading, then: Reading, name: str) -> float | None:
    count = _grown(now, then, f"{name}_count")
    return _grown(now, then, f"{name}_sum") / count if count > 0 else None


def _share(now: Reading, then: Reading, name: str, label: str) -> float | None:
    total = _grown(now, then, name)
    return _grown(now, then, name, label) / total if total > 0 else None
