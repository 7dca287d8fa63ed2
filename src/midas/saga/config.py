"""How sagas are run: everything that may be set, with its unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from midas.redis import Durability
from midas.saga.errors import SagaDefinitionError


@dataclass(frozen=True, slots=True)
class SagaConfig:
    """Settings of one kind of saga.

    Attributes:
        redis_url: Where sagas are kept.
        name: What this kind of saga is called, in keys, metrics and logs: a lower-case letter, then lower-case letters,
            digits, ``_`` and ``-``.
        version: Of the steps. A saga is only ever run by steps of the version, and the names, it was begun with.
        context_type: A ``msgspec.Struct`` type that every context must fit; None takes any dict. Who changes it so that
            contexts of sagas that run no longer fit raises the version, and gives the former one as ``older``.
        context_limit: Bytes that a context may have, encoded.
        lease_seconds: Seconds without a sign of life after which an owner counts as dead.
        deadline: Seconds from the start after which a saga that is not past its pivot turns back; None for never.
        first_pause: Seconds: the longest pause before the first retry. It doubles with each retry; the pause itself is
            drawn from 0 up to it ("full jitter").
        longest_pause: Seconds past which pauses do not grow.
        compensation_retries: How often a compensation is tried again.
        max_recoveries: A saga whose owners died so often without a finished step in between is suspended.
        concurrency: Sagas that one process takes over and runs at the same time.
        recovery_pause: Seconds between two looks for sagas that need an owner.
        grace_seconds: Seconds that an action has to end once it is told to stop.
        retention: Seconds that a saga is kept, and its id known, after it ended.
        history_limit: Transitions kept of each saga, the latest.
        durability: How many disks and replicas must know of a pivot's intent before the pivot begins, so that after a
            failover, too, nobody turns back although it may have happened. An attempt of which they do not know in
            time fails with ``NotDurable`` and without an effect; it is tried again as after any other error.
    """

    redis_url: str = "redis://localhost:6379/0"
    name: str = "saga"
    version: int = 1
    context_type: type | None = None
    context_limit: int = 65_536
    lease_seconds: float = 15.0
    deadline: float | None = None
    first_pause: float = 0.1
    longest_pause: float = 30.0
    compensation_retries: int = 5
    max_recoveries: int = 10
    concurrency: int = 100
    recovery_pause: float = 1.0
    grace_seconds: float = 5.0
    retention: float = 7 * 86_400.0
    history_limit: int = 500
    durability: Durability = field(default_factory=Durability)

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, int | float) and not (math.isfinite(value) and value >= 0):
                raise SagaDefinitionError(f"{setting.name} is a number from 0 on and not {value!r}")
        for name in (
            "lease_seconds",
            "retention",
            "history_limit",
            "context_limit",
            "concurrency",
            "recovery_pause",
        ):
            if getattr(self, name) <= 0:
                raise SagaDefinitionError(f"{name} is more than 0 and not {getattr(self, name)!r}")
