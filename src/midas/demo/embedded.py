"""The life cycle of an embedded server: start until it answers, stop, start again, same data and port."""

import asyncio
import secrets
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from midas.demo.errors import ServerStartError
from midas.demo.ports import free_port, is_taken
from midas.demo.processes import Child

__all__ = ["HOST", "Server"]

HOST = "127.0.0.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.01
_PORT_ATTEMPTS = 5  # a free port can be taken between finding and using it
_LAST_WORDS = 300  # characters of a dead server's output that go into the error


class Server(ABC):
    """What PostgreSQL and Redis share: folder, port, password, life cycle; a context manager, sync and async.

    Args:
        folder: Where data, password and output lie; made when missing.
        port: 0 for a free one, which is kept over restarts.
    """

    name: str

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self.started_in_seconds = 0.0
        self.output = folder / "output.log"
        self._fixed_port = port != 0
        self.port = port
        self._child: Child | None = None
        self._stopped = threading.Event()  # a stop may come while another thread still starts
        folder.mkdir(parents=True, exist_ok=True)
        self._password = self._remembered_password()

    @property
    @abstractmethod
    def url(self) -> str:
        """Return the address with account and password."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Return the program's version, such as ``18.1``."""

    @property
    def pid(self) -> int:
        """Return the process id.

        Raises:
            ServerStartError: It is not running.
        """
        if self._child is None:
            raise ServerStartError(f"{self.name} is not running")
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Return whether the process runs."""
        return self._child is not None and self._child.alive

    @property
    def ending(self) -> str:
        """Return how the process ended, in words."""
        return "is not running" if self._child is None else self._child.ending

    def start(self) -> None:
        """Start it and return once it answers; do nothing when it runs.

        Raises:
            ServerStartError: It ended or did not answer within 30 s, or its port is taken.
            OSError: Its programs are missing or its folder cannot be written.
        """
        if self.alive:
            return
        self._stopped.clear()
        began = time.monotonic()
        for attempt in range(_PORT_ATTEMPTS):
            self.port = self.port or free_port(HOST)
            self._child = self._spawn()
            if self._wait_until_ready(began + _START_SECONDS):
                self.started_in_seconds = time.monotonic() - began
                self._fixed_port = True
                return
            reason = self._last_words()
            stopped = self._stopped.is_set()
            self.stop(0.0)
            if stopped:
                raise ServerStartError(f"{self.name} was stopped while it started")
            if self._fixed_port or not is_taken(self.port) or attempt == _PORT_ATTEMPTS - 1:
                raise ServerStartError(
                    f"{self.name} did not start on port {self.port}: {reason} (all of it: {self.output})"
                )
            self.port = 0

    def stop(self, deadline_seconds: float = _STOP_SECONDS) -> None:
        """End it in good order, after `deadline_seconds` by force; data and port are kept."""
        self._stopped.set()
        child, self._child = self._child, None
        if child is not None:
            child.stop(deadline_seconds)

    def ask_to_stop(self) -> None:
        """Tell it to end and return at once; `stop` then waits for it."""
        if self._child is not None:
            self._child.ask_to_stop()

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, no good-bye."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def close(self) -> None:
        """Stop it and give back what lies outside its folder."""
        self.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    @abstractmethod
    def _spawn(self) -> Child: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def _wait_until_ready(self, deadline: float) -> bool:
        child = self._child
        while child is not None and child.alive and time.monotonic() < deadline:
            if self._stopped.wait(_POLL_SECONDS):
                return False
            if self._answers():
                return True
        return False

    def _last_words(self) -> str:
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        return " / ".join(text.strip().splitlines()[-3:])[-_LAST_WORDS:] or "it printed nothing"

    def _remembered_password(self) -> str:
        path = self.folder / "password"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(18))
        return path.read_text()
