"""How many disks and replicas must have something before it counts as kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LEAST_SECONDS: Final = 0.001
"""``WAIT`` counts in milliseconds, and takes 0 for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Durability:
    """When what was written counts as kept.

    Redis answers before it has written to disk or to a replica. With ``appendfsync everysec`` a crash of the machine
    can take the last second along, and a failover whatever the new master had not received. Whoever cannot bear that
    waits: ``TaskQueue.add_task`` returns when so many have the task, and a saga's pivot begins when so many know that
    it is about to.

    Attributes:
        replicas: Replicas that must have received it (``WAIT``): 0 or more.
        local_disk: Whether the master must have synced it to its append-only file (``WAITAOF``, Redis 7.2 and later).
        timeout: Seconds after which ``NotDurable`` is raised, 0.001 or more. It is written nevertheless.

    Raises:
        ValueError: A value is impossible.
    """

    replicas: int = 0
    local_disk: bool = False
    timeout: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.replicas, bool) or not isinstance(self.replicas, int) or self.replicas < 0:
            raise ValueError(f"replicas is a whole number from 0 on and not {self.replicas!r}")
        if not _LEAST_SECONDS <= self.timeout < math.inf:
            raise ValueError(f"timeout is {_LEAST_SECONDS:g} seconds or more and not {self.timeout!r}")

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to wait for."""
        return self.replicas > 0 or self.local_disk

    @property
    def wait_command(self) -> tuple[str | int, ...]:
        """The Redis command that waits."""
        patience = round(self.timeout * 1000)
        if self.local_disk:
            return ("WAITAOF", 1, self.replicas, patience)
        return ("WAIT", self.replicas, patience)

    def is_reached(self, confirmed: int | Sequence[int]) -> bool:
        """Whether what Redis confirmed is enough: replicas, or local disks and replicas' disks."""
        if isinstance(confirmed, int):
            return confirmed >= self.replicas
        disks, replicas = confirmed
        return disks >= 1 and replicas >= self.replicas

    def __str__(self) -> str:
        return f"{'its disk and ' if self.local_disk else ''}{self.replicas} replicas"
