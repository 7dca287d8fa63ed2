"""A project's stack in containers: `docker compose` started, and its own word awaited that everything is healthy."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from botmetry.errors import StackError
from botmetry.stack.files import StackFiles
from botmetry.stack.secret_files import missing_secrets
from botmetry.stack.up import Stop

__all__ = ["docker_compose", "run_in_containers"]

Say = Callable[[str], None]

_LOOK_SECONDS = 0.5
_HEALTHY_SECONDS = 180.0
_ASK_SECONDS = 60.0
_NO_DOCKER = (
    "docker is not on the PATH; install Docker with its compose plugin, or: apt-get install prometheus"
)
_NO_COMPOSE = (
    "docker has no compose plugin; run: apt-get install docker-compose-plugin, or: botmetry up --native"
)


def docker_compose(files: StackFiles) -> list[str]:
    """Return the command that all calls begin with.

    Raises:
        StackError: Docker or its compose plugin is not installed.
    """
    docker = shutil.which("docker")
    if docker is None:
        raise StackError(_NO_DOCKER)
    if _run([docker, "compose", "version"], files, _ASK_SECONDS).returncode:
        raise StackError(_NO_COMPOSE)
    return [docker, "compose", "-f", files.compose.name]


def run_in_containers(files: StackFiles, say: Say, stop: Stop) -> None:
    """Start the containers and wait until each is healthy; they keep running, unless a duration was given.

    Args:
        files: The project's files.
        say: Takes one line for people.
        stop: Ends the waiting; with a duration also the containers.

    Raises:
        StackError: Docker is missing or refuses, a secret is missing, or a container does not become healthy.
    """
    command = docker_compose(files)
    missing = missing_secrets(files.compose)
    if missing:
        raise StackError(f"secrets are missing ({', '.join(missing)}); run `botmetry init --secrets`")
    began = time.monotonic()
    done = _run([*command, "up", "-d"], files, None)
    if done.returncode:
        raise StackError(f"docker compose up: {_last(done)}")
    _await_health(command, files, say, stop, began)
    if stop.duration is None:
        say("Everything runs. This ends it: docker compose -f docker-compose.monitoring.yml down")
        return
    stop.begin()
    while not stop.due:
        time.sleep(_LOOK_SECONDS)
    if _run([*command, "down"], files, None).returncode:
        raise StackError("docker compose down did not work; see docker ps")
    say("All of it has ended.")


def _await_health(command: list[str], files: StackFiles, say: Say, stop: Stop, began: float) -> None:
    ready: set[str] = set()
    while not stop.asked:
        containers = list(_containers(command, files))
        waited = time.monotonic() - began
        for entry in containers:
            name, state, health = entry["Service"], entry["State"], entry.get("Health", "")
            if state in {"exited", "dead"}:
                raise StackError(f"{name} has ended; see: docker compose -f {files.compose.name} logs {name}")
            if name not in ready and state == "running" and health in {"healthy", ""}:
                ready.add(name)
                say(f"  {name:<12}  {_address(entry):<24}  healthy in {waited:.1f} s")
        if containers and len(ready) == len(containers):
            return
        if waited > _HEALTHY_SECONDS:
            late = ", ".join(entry["Service"] for entry in containers if entry["Service"] not in ready)
            raise StackError(
                f"not healthy after {_HEALTHY_SECONDS:.0f} s: {late or 'no container was started'}"
            )
        time.sleep(_LOOK_SECONDS)


def _containers(command: list[str], files: StackFiles) -> Iterator[dict[str, Any]]:
    done = _run([*command, "ps", "--all", "--format", "json"], files, _ASK_SECONDS)
    if done.returncode:
        raise StackError(f"docker compose ps: {_last(done)}")
    # One object a line since Compose 2.21, one array before.
    for line in done.stdout.splitlines():
        if line.strip():
            read = json.loads(line)
            yield from read if isinstance(read, list) else [read]


def _address(entry: dict[str, Any]) -> str:
    ports = [publisher["PublishedPort"] for publisher in entry.get("Publishers") or ()]
    return next((f"http://127.0.0.1:{port}" for port in ports if port), "")


def _run(command: list[str], files: StackFiles, seconds: float | None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - docker with fixed arguments
            command, cwd=files.root, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{' '.join(command[:2])}: {error}") from error


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
