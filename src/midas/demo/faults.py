"""The seven troubles, each of which raises one alert: begun and ended in the running system.

`Faults` is used by ``FAULT=…``, where a fault begins after a warm-up and stays, and by tests, which end it again::

    async with faults.during("redis-down"):
        ...
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping
from dataclasses import dataclass

import aiohttp
import asyncpg

from midas.demo.errors import DemoError, WrongCall
from midas.demo.kept import KeptProgram, KeptServer

__all__ = ["FAULTS", "FaultDescription", "Faults", "System", "check_fault"]

_LOCK_SECONDS = 3.0  # above the alert's 2 s
_BREATH_SECONDS = 0.3  # between two locks, so that what waited gets through and is measured


@dataclass(frozen=True, slots=True)
class FaultDescription:
    """What a fault does and what should come of it.

    Attributes:
        alert: The alert that it raises.
        what: What happens, as the screen says it.
        breaks: The variable that would put somebody else's service in the place of what it breaks.
    """

    alert: str
    what: str
    breaks: str = ""


_TELEGRAM, _MODEL, _REDIS = "TELEGRAM_BOT_TOKEN", "DEEPSEEK_API_KEY", "REDIS_URL"

FAULTS: Mapping[str, FaultDescription] = {
    "bot-errors": FaultDescription(
        "BotHighErrorRate", "the messenger refuses most answers of the bot", _TELEGRAM
    ),
    "low-confidence": FaultDescription(
        "AILowConfidence", "users import payments to shops nobody knows", _TELEGRAM
    ),
    "backlog": FaultDescription("QueueBacklog", "all workers are stopped, users go on importing"),
    "slow-ai": FaultDescription("AISlowProcessing", "the language model takes 12 s for an answer", _MODEL),
    "slow-db": FaultDescription(
        "DatabaseSlowQueries", "the transactions table is locked for 3 s again and again"
    ),
    "redis-down": FaultDescription("RedisConnectionErrors", "Redis is gone", _REDIS),
    "silence": FaultDescription("BotNoActiveUsers", "no user says anything", _TELEGRAM),
}


@dataclass(frozen=True, slots=True)
class System:
    """What faults can reach.

    Attributes:
        control_url: Of the local internet; None when Telegram and the model are both the real ones.
        given: The variables that chose a service of somebody else's.
        redis: The embedded Redis; None when ``REDIS_URL`` chose another.
    """

    http: aiohttp.ClientSession
    control_url: str | None
    given: frozenset[str]
    database_url: str
    redis: KeptServer | None
    workers: tuple[KeptProgram, ...]


def check_fault(name: str, given: Container[str]) -> None:
    """Check that a fault exists and breaks nobody else's service.

    Args:
        name: Of the fault.
        given: The variables that chose a service of somebody else's.

    Raises:
        WrongCall: There is no such fault, or what it breaks is not the demo's own.
    """
    if name not in FAULTS:
        raise WrongCall(f"there is no FAULT {name!r}: choose one of {', '.join(FAULTS)}")
    variable = FAULTS[name].breaks
    if variable in given:
        raise WrongCall(f"FAULT={name} breaks the demo's own service, but {variable} chose another: unset it")


class Faults:
    """Begins and ends faults; each at most once at a time."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._locking: asyncio.Task[None] | None = None
        self._active: list[str] = []
        self._own: Mapping[str, tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]] = {
            "backlog": (self._stop_workers, self._continue_workers),
            "slow-db": (self._begin_locking, self._end_locking),
            "redis-down": (self._kill_redis, self._start_redis),
        }

    @property
    def active(self) -> tuple[str, ...]:
        """Return the names of those that are on."""
        return tuple(self._active)

    async def begin(self, name: str) -> None:
        """Begin a fault; nothing happens when it is on.

        Raises:
            WrongCall: There is no such fault, or it cannot be had here.
            DemoError: The local internet did not take the order.
        """
        check_fault(name, self._system.given)
        if name in self._active:
            return
        self._active.append(name)
        if name in self._own:
            await self._own[name][0]()
        await self._tell(name, on=True)

    async def end(self, name: str) -> None:
        """End a fault; nothing happens when it is off."""
        if name not in self._active:
            return
        self._active.remove(name)
        if name in self._own:
            await self._own[name][1]()
        await self._tell(name, on=False)

    @contextlib.asynccontextmanager
    async def during(self, name: str) -> AsyncIterator[None]:
        """Have the fault on within the block."""
        await self.begin(name)
        try:
            yield
        finally:
            await self.end(name)

    async def end_all(self) -> None:
        """End every fault that leaves something behind: the demo stops."""
        for name in self.active:
            with contextlib.suppress(DemoError, OSError):
                await self.end(name)

    async def _tell(self, name: str, *, on: bool) -> None:
        """Tell the local internet: it plays four of the faults and counts answers anew at every switch."""
        if self._system.control_url is None:
            return
        body = {"name": name, "on": on}
        try:
            async with self._system.http.post(f"{self._system.control_url}/fault", json=body) as response:
                if response.status != 200:  # noqa: PLR2004 - OK
                    raise DemoError(f"the local internet refused FAULT={name}: {await response.text()}")
        except aiohttp.ClientError as error:
            raise DemoError(
                f"the local internet does not answer, FAULT={name} could not be switched: {error}"
            ) from error

    async def _stop_workers(self) -> None:
        for worker in self._system.workers:
            if worker.child is not None:
                worker.child.send(signal.SIGSTOP)

    async def _continue_workers(self) -> None:
        for worker in self._system.workers:
            if worker.child is not None:
                worker.child.send(signal.SIGCONT)

    async def _kill_redis(self) -> None:
        redis = self._system.redis
        assert redis is not None, "checked before"
        redis.held = True
        await asyncio.to_thread(redis.server.kill)

    async def _start_redis(self) -> None:
        redis = self._system.redis
        assert redis is not None, "checked before"
        await redis.start()
        redis.held = False

    async def _begin_locking(self) -> None:
        connection = await asyncpg.connect(self._system.database_url)
        self._locking = asyncio.create_task(_lock_again_and_again(connection), name="slow-db")

    async def _end_locking(self) -> None:
        if self._locking is not None:
            self._locking.cancel()
            await asyncio.gather(self._locking, return_exceptions=True)


async def _lock_again_and_again(connection: asyncpg.Connection) -> None:
    try:
        while True:
            async with connection.transaction():
                await connection.execute("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE")
                await asyncio.sleep(_LOCK_SECONDS)
            await asyncio.sleep(_BREATH_SECONDS)
    finally:
        connection.terminate()  # gives the lock back at once
