"""What has to be done every few seconds by one process, whichever it is.

Each duty has a lease in Redis. Who gets it does the duty once and returns it; who does not has a rest. When the holder
dies, the lease lapses, and somebody else is next.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from redis.asyncio.lock import Lock
from redis.exceptions import LockError, OutOfMemoryError

from midas.errors import MidasError, QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from botmetry import Telemetry
    from midas.redis import Availability

LEASE_SECONDS: Final = 10.0
"""Longer than any duty takes, short enough that a process that died with the lease does not hold up the others: with
the lease of a task that is 15 s, and a dead worker's task is back in line within half a minute at the worst."""
_ANSWER_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Duty:
    """Something to be done regularly.

    Attributes:
        name: For log lines.
        period: Seconds between two times, give or take a quarter: processes must not march in step.
        lease: The Redis key of the lease.
        action: Does it; may be done by two at once without harm, should a lease ever lapse too early.
        lease_seconds: After which a process that died with the lease holds up the others no more.
    """

    name: str
    period: float
    lease: str
    action: Callable[[], Awaitable[object]]
    lease_seconds: float = LEASE_SECONDS


async def perform(duty: Duty, redis: Redis, availability: Availability, telemetry: Telemetry) -> None:
    """Do a duty for ever, whenever this process gets the lease.

    After an outage it has another rest first: workers that lost Redis renew their leases and hand in their results
    within a second of its return, and their tasks are not to be taken away before.
    """
    while True:
        await asyncio.sleep(duty.period * random.uniform(0.75, 1.25))  # noqa: S311 -- not a secret
        try:
            await _perform_once(duty, redis, availability)
        except QueueUnavailable:
            await _return_of(redis, availability)
        except MidasError as error:
            telemetry.log.warning("worker.duty_failed", duty=duty.name, message=str(error))
        except Exception as error:
            telemetry.log.error(  # noqa: TRY400 -- no logger of the standard library
                "worker.duty_failed", duty=duty.name, exc_info=error
            )


async def _return_of(redis: Redis, availability: Availability) -> None:
    """Wait until Redis answers. That it went away has been logged."""
    ping = cast("Callable[[], Awaitable[object]]", redis.ping)  # redis-py types it for sync and async at once
    while True:
        await availability.pause(at_most=_ANSWER_SECONDS)
        with suppress(QueueUnavailable):
            await availability.ask("", ping, within=_ANSWER_SECONDS)
            return


async def _perform_once(duty: Duty, redis: Redis, availability: Availability) -> None:
    lease = Lock(redis, duty.lease, timeout=duty.lease_seconds, blocking=False)
    try:
        if not await availability.ask("worker.lease", lease.acquire, within=_ANSWER_SECONDS):
            return
    except QueueUnavailable as error:
        if not isinstance(error.__cause__, OutOfMemoryError):
            raise
        # No room for a lease: then all do it. What frees memory must not wait until there is some.
    try:
        await duty.action()
    finally:
        with suppress(LockError, QueueUnavailable):
            await availability.ask("worker.return_lease", lease.release, within=_ANSWER_SECONDS)
