"""One object for the whole living system: start everything, know how it is doing, stop everything.

::

    async with Demo(options, os.environ) as demo:
        print(demo.addresses)
        async with demo.faults.during("slow-ai"):
            figures = await demo.observer.live()

It is used by ``midas demo`` and, on free ports, by the tests.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from redis.exceptions import RedisError

from botmetry.stack.pace import REAL, Pace
from midas.demo.accounting import Account, read_account, read_notices
from midas.demo.databases import Databases
from midas.demo.errors import ServerStartError
from midas.demo.faults import Faults, System, check_fault
from midas.demo.fleet import Access, Fleet
from midas.demo.folder import DataFolder
from midas.demo.kept import Keeper, KeptProgram, Part, Program, Say
from midas.demo.observer import Observer
from midas.demo.occupants import check_ports
from midas.demo.options import DemoOptions
from midas.demo.viewers import Viewers, viewers_present
from midas.demo.watchers import Watchers, present
from midas.demo.wording import from_here
from midas.errors import QueueUnavailable
from midas.settings import Settings

__all__ = ["Demo"]

_HOST = "127.0.0.1"
_STOP_SECONDS = 15.0  # a worker finishes what it began, and a slow model takes 12 s
_WAITING_SECONDS = 10.0  # nobody looks longer than that at a screen on which nothing happens
_CHOOSE = ("DATABASE_URL", "REDIS_URL", "TELEGRAM_BOT_TOKEN", "DEEPSEEK_API_KEY")
_PATIENCE = aiohttp.ClientTimeout(total=5.0)


class Demo:
    """The running system; an async context manager.

    Args:
        options: What was chosen.
        environ: Chooses real services one by one: ``DATABASE_URL``, ``REDIS_URL``, ``TELEGRAM_BOT_TOKEN``,
            ``DEEPSEEK_API_KEY``.
        say: Takes one line for the person at the screen.
        pace: Shorter windows and waits of the rules, for tests.
        webhook_url: Receives every notification of Alertmanager.

    Attributes:
        addresses: What can be opened: name to URL, in the order of the table.
        access: Addresses and secrets of messenger and language model.
        faults: The seven troubles; there once it runs.
        observer: The figures; there once it runs.
        account: Where the AI's tasks are; known after the stop.
        notices: Where the notices are; known after the stop.

    Raises:
        SettingsError: The environment holds an impossible value.
    """

    def __init__(
        self,
        options: DemoOptions,
        environ: Mapping[str, str],
        *,
        say: Say = print,
        pace: Pace = REAL,
        webhook_url: str | None = None,
    ) -> None:
        self.options = options
        self.folder = DataFolder(options.data, keep=options.keep_data)
        self.keeper = Keeper(say)
        self.access = Access.from_env(environ)
        self.databases = Databases(Settings.from_env(environ), self.folder, say)
        self.addresses: dict[str, str] = {}
        self.account: Account | None = None
        self.notices: Account | None = None
        self.started_in_seconds = 0.0
        self.faults: Faults
        self.observer: Observer
        self._environ = environ
        self._given = frozenset(name for name in _CHOOSE if environ.get(name, "").strip())
        self._say = say
        self._watchers = Watchers(options, self.folder, pace, webhook_url)
        self._viewers: Mapping[str, Path] = {}
        self._midas: list[KeptProgram] = []
        self._keeping: asyncio.Task[None] | None = None
        self._http: aiohttp.ClientSession | None = None
        self._stopping = False

    def part(self, name: str) -> Part:
        """Return one part by its name, such as ``worker-1`` or ``Redis``."""
        return next(part for part in self.keeper.parts if part.name == name)

    async def start(self) -> None:
        """Start everything and return once all of it is ready; a failure stops what had been started.

        Raises:
            MidasError: A port is taken, a service does not answer, a program does not come up.
            BotmetryError: The monitoring files are missing or broken.
        """
        began = time.monotonic()
        if self.options.fault:
            check_fault(self.options.fault, self._given)
        self._viewers = await asyncio.to_thread(viewers_present)
        check_ports(self.options, optional=present() | self._viewers.keys())
        self.folder.take()
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        self.started_in_seconds = time.monotonic() - began

    async def stop(self) -> None:
        """Stop everything in order; what the workers had begun is finished, then the tasks are counted.

        A second call does nothing.
        """
        if self._stopping:
            return
        self._stopping = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if hasattr(self, "faults"):
            await self.faults.end_all()
        await _end(self._midas)
        if self._midas:
            with contextlib.suppress(
                RedisError, QueueUnavailable, OSError
            ):  # Redis may be the reason why we stop
                self.account = await read_account(self.databases.urls["REDIS_URL"])
                self.notices = await read_notices(self.databases.urls["REDIS_URL"])
        await _end(part for part in self.keeper.parts if part not in self._midas)
        if self._http is not None:
            await self._http.close()
        self.folder.give_back()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        self._http = aiohttp.ClientSession(timeout=_PATIENCE)
        for server in self.databases.make():
            self.keeper.add(server)
        fleet = Fleet(self.options, self.access, self._environ, self.folder.logs)
        viewers = Viewers(self.options.ports, self.folder, self._viewers).programs()
        first = []
        if self.access.internet_port is not None:
            first.append(self._program(fleet.internet()))
        await _together(
            self.databases.start_postgres(),
            self.databases.start_redis(),
            *(self._bring_up(part) for part in first),
            *(self._try(program) for program in viewers),
        )
        stores = self.databases.urls
        self.folder.note_stores(stores)
        workers = [self._program(program) for program in fleet.workers(stores)]
        self._midas = [self._program(fleet.bot(stores)), *workers]
        self.faults = Faults(self._system(workers))
        if (
            self.options.fault == "silence"
        ):  # before the first user comes, who would be remembered for minutes
            await self.faults.begin("silence")
        await _together(*(self._bring_up(part) for part in self._midas))
        # The watchers last: to Prometheus a process that does not listen yet is one that is down, and a single such
        # sample in the first minutes burns the error budget of "processes-answer" until ErrorBudgetBurn1h fires.
        watchers = [self._program(program) for program in self._watchers.programs()]
        await _together(*(self._bring_up(part) for part in watchers))
        self._list_addresses()
        await self._observe()
        self._keeping = asyncio.create_task(self.keeper.run(), name="keeper")

    def _program(self, program: Program) -> KeptProgram:
        assert self._http is not None, "made first"
        part = KeptProgram(program, self._http)
        self.keeper.add(part)
        return part

    async def _bring_up(self, part: KeptProgram) -> None:
        waiting = asyncio.create_task(self._tell_of_waiting(part))
        try:
            await part.start()
        finally:
            waiting.cancel()
        self._say(f"{part.name} ready in {part.started_in_seconds:.1f} s")

    async def _tell_of_waiting(self, part: KeptProgram) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(_WAITING_SECONDS)
            logs = from_here(part.program.output.with_suffix(".*"), Path.cwd())
            self._say(f"{part.name} is not ready after {time.monotonic() - began:.0f} s; waiting ({logs})")

    async def _try(self, program: Program) -> None:
        """Bring up what the demo can do without."""
        part = self._program(program)
        try:
            await self._bring_up(part)
        except ServerStartError as error:
            self.keeper.remove(part)
            self._say(f"{error}; going on without it")

    def _list_addresses(self) -> None:
        ports = self.options.ports
        self.addresses["bot metrics"] = f"http://{_HOST}:{ports.bot}/metrics"
        for number in range(self.options.workers):
            self.addresses[f"worker {number + 1} metrics"] = f"http://{_HOST}:{ports.worker + number}/metrics"
        for name in ("Prometheus", "Alertmanager", "Grafana", "Loki"):
            if any(part.name == name for part in self.keeper.parts):
                self.addresses[name] = f"http://{_HOST}:{getattr(ports, name.lower())}"

    def _system(self, workers: list[KeptProgram]) -> System:
        assert self._http is not None, "made first"
        return System(
            http=self._http,
            control_url=self.access.control_url,
            given=self._given,
            database_url=self.databases.urls["DATABASE_URL"],
            redis=self.databases.redis,
            workers=tuple(workers),
        )

    async def _observe(self) -> None:
        assert self._http is not None, "made first"
        metrics = {name: url for name, url in self.addresses.items() if name.endswith("metrics")}
        self.observer = Observer(
            self._http, metrics, self.access.control_url, self.addresses.get("Prometheus")
        )
        await self.observer.begin()


async def _together(*starts: Coroutine[Any, Any, None]) -> None:
    """Run all at once; the first failure ends the others and is raised as itself, not inside a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except BaseExceptionGroup as failures:
        first: BaseException = failures
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


async def _end(parts: Iterable[Part]) -> None:
    """Ask all to end, then wait for each; by force after ten seconds."""
    ending = list(parts)
    for part in ending:
        part.held = True
        part.ask_to_stop()
    await asyncio.gather(*(asyncio.to_thread(part.end, _STOP_SECONDS) for part in ending))
