"""The switches for trouble: which faults are on, and which single calls are to fail."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

OWN_FAULTS = frozenset({"bot-errors", "low-confidence", "slow-ai", "silence"})
ELSEWHERE = frozenset({"backlog", "slow-db", "redis-down"})  # made outside; here they only start a new period


class UnknownFaultError(ValueError):
    """A fault was named that does not exist."""

    def __init__(self, name: object) -> None:
        known = ", ".join(sorted(OWN_FAULTS | ELSEWHERE))
        super().__init__(f"unknown fault {name!r}: choose one of {known}")


@dataclass(frozen=True, slots=True)
class Failure:
    """One refusal in the words of the Bot API, for a call that would have succeeded."""

    status: int
    description: str
    retry_after: int | None = None


class Faults:
    """Which faults are on; who wants to know of a switch is told."""

    def __init__(self) -> None:
        self._active: set[str] = set()
        self._listeners: list[Callable[[], None]] = []
        self._failures: dict[str, deque[Failure]] = {}

    @property
    def active(self) -> list[str]:
        """The names that are on, sorted."""
        return sorted(self._active)

    def __contains__(self, name: str) -> bool:
        return name in self._active

    def switch(self, name: str, *, on: bool) -> None:
        """Turn a fault on or off and tell the listeners.

        Raises:
            UnknownFaultError: There is no fault of this name.
        """
        if name not in OWN_FAULTS | ELSEWHERE:
            raise UnknownFaultError(name)
        if on:
            self._active.add(name)
        else:
            self._active.discard(name)
        for listener in self._listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every switch."""
        self._listeners.append(listener)

    def fail_next(self, method: str, failure: Failure, times: int = 1) -> None:
        """Refuse the next `times` calls of one Bot API method."""
        self._failures.setdefault(method.lower(), deque()).extend([failure] * times)

    def take_failure(self, method: str) -> Failure | None:
        """Return the refusal that is due for this call, if one is."""
        due = self._failures.get(method.lower())
        return due.popleft() if due else None
