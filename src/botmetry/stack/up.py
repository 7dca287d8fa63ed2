"""A project's stack run natively: its parts started, found ready, watched, and all of them ended together."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from botmetry.errors import StackError
from botmetry.stack.children import Child, last_words, stop_all
from botmetry.stack.files import StackFiles
from botmetry.stack.parts import Missing, Part, Place, log_folder, native_parts
from botmetry.stack.services import read_watched

__all__ = ["Stop", "run_natively", "stop_on_signals"]

Say = Callable[[str], None]

_LOOK_SECONDS = 0.1
_READY_SECONDS = 90.0
_STOP_SECONDS = 10.0
_ASK_SECONDS = 2.0
# Two scrape intervals: by then every target has been asked.
_TARGET_SECONDS = 32.0
# Nothing of this goes through a proxy: every address is on this machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(slots=True)
class Stop:
    """When to stop: after a time, or when somebody asks.

    Attributes:
        duration: Seconds after which it is time, counted from `begin`; None never.
        asked: Whether a signal came.
    """

    duration: float | None = None
    asked: bool = False
    _end: float | None = field(default=None, repr=False)

    def begin(self) -> None:
        """Start counting the time."""
        self._end = None if self.duration is None else time.monotonic() + self.duration

    @property
    def due(self) -> bool:
        """Whether it is time."""
        return self.asked or (self._end is not None and time.monotonic() >= self._end)


@contextmanager
def stop_on_signals(stop: Stop) -> Iterator[None]:
    """Within it, Ctrl-C, SIGTERM and a closed terminal set `stop.asked` and nothing else."""

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_natively(files: StackFiles, say: Say, stop: Stop, ports: Mapping[str, int] | None = None) -> None:
    """Run the parts that are installed until it is time to stop; then nothing of them runs any more.

    Args:
        files: The project's files.
        say: Takes one line for people.
        stop: Says when; see `stop_on_signals`.
        ports: Where parts listen instead of where they usually do.

    Raises:
        StackError: A port is taken, a part cannot be started or ended by itself, or a file is wrong.
    """
    place = Place(files, _data_folder(files), ports or {})
    parts, missing = native_parts(place)
    _check_ports(parts)
    for lack in missing:
        say(_absent(lack))
    logs = log_folder(files, os.environ)
    logs.mkdir(parents=True, exist_ok=True)
    children: list[Child] = []
    try:
        children += (_start(part, place) for part in parts)
        _await_ready(parts, children, say, stop)
        say(f"  logs          {logs}/*.jsonl")
        stop.begin()
        _report_targets(place, children, say, stop)
        if not stop.due:
            say("Everything runs." + ("" if stop.duration is not None else " Ctrl-C ends it."))
        while not stop.due:
            _look_after(children)
            time.sleep(_LOOK_SECONDS)
    finally:
        stop_all(children, _STOP_SECONDS)
    say("All of it has ended.")


def _data_folder(files: StackFiles) -> Path:
    folder = files.root / ".botmetry"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", "utf-8")
    except OSError as error:
        raise StackError(f"{folder} cannot be written: {error.strerror}") from error
    return folder


def _check_ports(parts: list[Part]) -> None:
    owners: dict[int, str] = {}
    for part in parts:
        if part.port in owners:
            raise StackError(f"{part.name} and {owners[part.port]} cannot both have port {part.port}")
        owners[part.port] = part.name
        with socket.socket() as probe:
            # As the servers do: a connection that is winding down is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", part.port))
            except OSError as error:
                raise StackError(
                    f"port {part.port} of {part.name} is taken ({error.strerror}): stop what listens there, "
                    f"or choose another with --port {part.name}=PORT"
                ) from error


def _absent(lack: Missing) -> str:
    return f"  {lack.name:<12}  not installed; run: {lack.command}"


def _start(part: Part, place: Place) -> Child:
    try:
        return Child(
            part.name,
            part.command,
            environ={**os.environ, **part.environ},
            folder=place.files.root,
            output=place.data / f"{part.name}.log",
        )
    except OSError as error:
        raise StackError(f"{part.name} cannot be started: {error}") from error


def _await_ready(parts: list[Part], children: list[Child], say: Say, stop: Stop) -> None:
    waiting = dict(zip((child.name for child in children), parts, strict=True))
    while waiting and not stop.due:
        _look_after(children)
        for child in children:
            part = waiting.get(child.name)
            if part is None:
                continue
            waited = time.monotonic() - child.started_at
            if _answer(part.url + part.ready_path) is not None:
                say(f"  {part.name:<12}  {part.url:<24}  ready in {waited:.1f} s")
                del waiting[child.name]
            elif waited > _READY_SECONDS:
                said = f"{last_words(child.output)} ({child.output})"
                raise StackError(f"{part.name} is not ready after {_READY_SECONDS:.0f} s: {said}")
        time.sleep(_LOOK_SECONDS)


def _look_after(children: list[Child]) -> None:
    for child in children:
        if child.ending is not None:
            raise StackError(f"{child.name} {child.ending}: {last_words(child.output)} ({child.output})")


def _report_targets(place: Place, children: list[Child], say: Say, stop: Stop) -> None:
    """Say of each watched program whether Prometheus reaches it, as soon as it has tried."""
    waiting = {
        address: watched.service for watched in read_watched(place.files) for address in watched.addresses
    }
    end = time.monotonic() + _TARGET_SECONDS
    while waiting and not stop.due and time.monotonic() < end:
        _look_after(children)
        for target in _targets(place.url("prometheus")):
            address = target["labels"].get("instance", "")
            if address in waiting and target["health"] != "unknown":
                name = waiting.pop(address)
                trouble = "" if target["health"] == "up" else f": {target['lastError']}"
                say(f"  {name:<12}  {target['scrapeUrl']}  is {target['health']}{trouble}")
        time.sleep(_LOOK_SECONDS)


def _targets(url: str) -> list[dict[str, Any]]:
    body = _answer(f"{url}/api/v1/targets?state=active")
    try:
        found: list[dict[str, Any]] = json.loads(body or "{}")["data"]["activeTargets"]
    except (ValueError, KeyError, TypeError):
        return []
    return found


def _answer(url: str) -> bytes | None:
    """Return the body of an answer 200, or None."""
    try:
        with _DIRECT.open(url, timeout=_ASK_SECONDS) as answer:
            body: bytes = answer.read()
            return body if answer.status == 200 else None  # noqa: PLR2004 - HTTP's OK
    except (OSError, ValueError):
        return None
