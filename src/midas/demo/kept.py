"""What has to stay alive: programs and servers that are started, found ready, watched and started again.

`Keeper` looks twice a second. A part that ended without being told to is started again after a wait that doubles with
every failure in a row; each end and each return is said in one line.
"""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from midas.demo.embedded import Server
from midas.demo.errors import ServerStartError
from midas.demo.processes import Child, spawn
from midas.errors import MidasError

__all__ = ["Keeper", "KeptProgram", "KeptServer", "Part", "Program"]

_LOOK_SECONDS = 0.5
_READY_LOOK_SECONDS = 0.05
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_STEADY_SECONDS = 30.0  # who has run for so long starts from the first wait again
_LAST_WORDS = 400

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Program:
    """What is needed to start one program.

    Attributes:
        name: What people call it.
        command: Absolute path and arguments.
        output: File for what it prints.
        ready_url: Answers 200 once it is ready; None when running is enough.
        environ: Its whole environment; None for ours.
        folder: Its working folder.
        start_seconds: How long it may take to become ready.
        ready_mark: What the answer must contain: a program may answer before it has named all of its checks.
    """

    name: str
    command: tuple[str, ...]
    output: Path
    ready_url: str | None = None
    environ: Mapping[str, str] | None = field(default=None, repr=False)
    folder: Path = field(default_factory=Path.cwd)
    start_seconds: float = 30.0
    ready_mark: str = ""


class Part(ABC):
    """One thing that is kept alive.

    Attributes:
        held: While true, its absence is intended: a fault or the end of the demo wants it so.
        wait_seconds: How long the keeper waited before it last started it again.
        came_back_at: When that was, as monotonic time.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.held = False
        self.started_in_seconds = 0.0
        self.wait_seconds = 0.0
        self.came_back_at = 0.0

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Return whether it runs."""

    @abstractmethod
    async def start(self) -> None:
        """Start it and return once it is ready.

        Raises:
            ServerStartError: It ended, or did not become ready in time.
        """

    @abstractmethod
    def epitaph(self) -> str:
        """Return how it ended and where its last words are."""

    @abstractmethod
    def ask_to_stop(self) -> None:
        """Tell it to end; return at once."""

    @abstractmethod
    def end(self, seconds: float) -> None:
        """Wait for its end at most so long, then end it by force."""


class KeptServer(Part):
    """PostgreSQL or Redis as a part."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.name)
        self.server = server

    @property
    def alive(self) -> bool:
        """Return whether the server runs."""
        return self.server.alive

    async def start(self) -> None:
        """Start the server and return once it answers."""
        await asyncio.to_thread(self.server.start)
        self.started_in_seconds = self.server.started_in_seconds

    def epitaph(self) -> str:
        """Return how it ended and where its last words are."""
        return f"{self.server.ending} (its output: {self.server.output})"

    def ask_to_stop(self) -> None:
        """Tell it to end; return at once."""
        self.server.ask_to_stop()

    def end(self, seconds: float) -> None:
        """Wait for its end, then give back what it holds outside its folder."""
        self.server.stop(seconds)
        self.server.close()


class KeptProgram(Part):
    """A child process as a part.

    Args:
        program: What to start.
        http: Asks whether it is ready.
    """

    def __init__(self, program: Program, http: aiohttp.ClientSession) -> None:
        super().__init__(program.name)
        self.program = program
        self.child: Child | None = None
        self._http = http

    @property
    def alive(self) -> bool:
        """Return whether the process runs."""
        return self.child is not None and self.child.alive

    async def start(self) -> None:
        """Start the process and return once it is ready."""
        began = time.monotonic()
        program = self.program
        written = program.output.stat().st_size if program.output.exists() else 0
        self.child = await asyncio.to_thread(
            spawn,
            program.name,
            program.command,
            output=program.output,
            environ=program.environ,
            folder=program.folder,
        )
        while not await self._is_ready():
            waited = time.monotonic() - began
            if not self.child.alive or waited > program.start_seconds:
                why = self.child.ending if not self.child.alive else f"is not ready after {waited:.0f} s"
                self.child.kill()
                raise ServerStartError(
                    f"{self.name} {why}: {_last_words(program.output, written)} ({program.output})"
                )
            await asyncio.sleep(_READY_LOOK_SECONDS)
        self.started_in_seconds = time.monotonic() - began

    def epitaph(self) -> str:
        """Return how it ended and where its last words are."""
        return f"{'is not running' if self.child is None else self.child.ending} (its output: {self.program.output})"

    def ask_to_stop(self) -> None:
        """Tell it to end; return at once."""
        if self.child is not None:
            self.child.ask_to_stop()

    def end(self, seconds: float) -> None:
        """Wait for its end at most so long, then end it by force."""
        if self.child is not None:
            self.child.wait_or_kill(seconds)

    async def _is_ready(self) -> bool:
        if self.program.ready_url is None:
            return True
        try:
            async with self._http.get(self.program.ready_url) as response:
                return response.ok and self.program.ready_mark in await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return False


class Keeper:
    """Watches parts and starts again those that ended.

    Args:
        say: Takes one line for the person at the screen.
    """

    def __init__(self, say: Say) -> None:
        self.restarts = 0
        self._say = say
        self._parts: list[Part] = []
        self._comebacks: dict[Part, asyncio.Task[None]] = {}

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return what is watched, in the order of `add`."""
        return tuple(self._parts)

    def add(self, part: Part) -> None:
        """Watch a part from now on."""
        self._parts.append(part)

    def remove(self, part: Part) -> None:
        """Watch a part no longer."""
        self._parts.remove(part)

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                for part in self._parts:
                    if not (part.alive or part.held or part in self._comebacks):
                        self._say(f"{part.name} {part.epitaph()}: starting it again")
                        self._comebacks[part] = asyncio.create_task(self._bring_back(part))
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            for comeback in self._comebacks.values():
                comeback.cancel()
            await asyncio.gather(*self._comebacks.values(), return_exceptions=True)

    async def _bring_back(self, part: Part) -> None:
        steady = time.monotonic() - part.came_back_at > _STEADY_SECONDS
        part.wait_seconds = _FIRST_WAIT_SECONDS if steady else _longer(part.wait_seconds)
        try:
            while not (part.alive or part.held):
                await asyncio.sleep(part.wait_seconds)
                began = time.monotonic()
                try:
                    await part.start()
                except (MidasError, OSError) as error:
                    part.wait_seconds = _longer(part.wait_seconds)
                    self._say(f"{error}; again in {part.wait_seconds:.0f} s")
                    continue
                self.restarts += 1
                part.came_back_at = time.monotonic()
                self._say(f"{part.name} runs again after {time.monotonic() - began:.1f} s")
        finally:
            del self._comebacks[part]


def _longer(seconds: float) -> float:
    return min(seconds * 2, _LONGEST_WAIT_SECONDS)


def _last_words(output: Path, since: int) -> str:
    """Return the last line that was printed after byte `since`, else the last trouble in the log beside it."""
    with output.open("rb") as file:
        file.seek(since)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return (lines[-1] if lines else _last_trouble(output.with_suffix(".jsonl")))[:_LAST_WORDS]


def _last_trouble(log: Path) -> str:
    with suppress(OSError, ValueError):
        for line in reversed(log.read_text().splitlines()):
            event = json.loads(line)
            if event["level"] in {"warning", "error"}:
                return f"{event['event']}, {event.get('place', '')} {event.get('reason', '')}".rstrip(" ,")
    return "it printed nothing"
