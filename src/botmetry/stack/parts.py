"""The parts of a native stack: which program each is, how it is started, where it says that it is ready.

Loki, the agents and Grafana take folders and addresses from the environment, Prometheus and Alertmanager from files
that are rendered for them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from botmetry.errors import StackError
from botmetry.stack.files import StackFiles
from botmetry.stack.native import (
    NativeStack,
    alertmanager_command,
    find_program,
    prometheus_command,
    render_native,
)
from botmetry.stack.services import PART_PORTS, read_watched

__all__ = ["Missing", "Part", "Place", "log_folder", "native_parts", "program_called"]

_HOST = "127.0.0.1"
_VERSION_SECONDS = 10.0
_GRAFANA_HOMES = ("/usr/share/grafana", "/usr/local/share/grafana")
_COMPOSE_UP = "docker compose -f docker-compose.monitoring.yml up -d"
_LOG_DEFAULT = re.compile(r"\$\{BOTMETRY_LOG_DIR:-([^}]+)\}")
# None of these is in Debian.
_HOW_TO_GET = {
    "prometheus": "apt-get install prometheus",
    "alertmanager": "apt-get install prometheus-alertmanager",
    "loki": f"{_COMPOSE_UP} loki",
    "agent": f"{_COMPOSE_UP} loki promtail",
    "grafana": f"{_COMPOSE_UP} grafana",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A program of the stack, ready to be started.

    Attributes:
        name: As in `PART_PORTS`.
        command: Absolute path and arguments.
        environ: What it needs besides our own environment.
        port: Where it will listen, on 127.0.0.1.
        ready_path: Answers 200 once it is ready.
    """

    name: str
    command: tuple[str, ...]
    port: int
    ready_path: str
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{_HOST}:{self.port}"


@dataclass(frozen=True, slots=True)
class Missing:
    """A part that does not run, because its program is not installed.

    Attributes:
        name: What it is.
        command: What brings it.
    """

    name: str
    command: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a native stack runs.

    Attributes:
        files: The project's files.
        data: For what the programs keep.
        ports: By the names of `PART_PORTS`; those that are not given are as there.
    """

    files: StackFiles
    data: Path
    ports: Mapping[str, int]

    def port(self, name: str) -> int:
        """Return where a part listens."""
        return self.ports.get(name, PART_PORTS[name])

    def url(self, name: str) -> str:
        """Return the address of a part."""
        return f"http://{_HOST}:{self.port(name)}"

    def folder(self, name: str) -> Path:
        """Return a folder for a part's data, made."""
        path = self.data / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def native_parts(place: Place) -> tuple[list[Part], list[Missing]]:
    """Return what can be started here, and what cannot because it is not installed.

    Raises:
        StackError: Prometheus is not installed, or a file of the stack is missing or broken.
    """
    if find_program("prometheus") is None:
        raise StackError(
            "prometheus is not on the PATH; run: apt-get install prometheus, or: botmetry up --docker"
        )
    found = {"prometheus": "", **dict(_installed())}
    stack = _render(place, frozenset(found))
    makers: dict[str, Callable[[], Part]] = {
        "prometheus": lambda: _prometheus(place, stack),
        "alertmanager": lambda: _alertmanager(place, stack),
        "loki": lambda: _loki(place, found["loki"]),
        "alloy": lambda: _alloy(place, found["alloy"]),
        "promtail": lambda: _promtail(place, found["promtail"]),
        "grafana": lambda: _grafana(place, found["grafana"]),
    }
    parts = [make() for name, make in makers.items() if name in found]
    lacking = [name for name in ("alertmanager", "loki", "grafana") if name not in found]
    if not found.keys() & {"alloy", "promtail"}:
        lacking.insert(-1 if "grafana" in lacking else len(lacking), "agent")
    return parts, [Missing(name, _HOW_TO_GET[name]) for name in lacking]


def log_folder(files: StackFiles, environ: Mapping[str, str]) -> Path:
    """Return the folder of the logs, natively as in containers: `BOTMETRY_LOG_DIR`, else the compose file's."""
    named = environ.get("BOTMETRY_LOG_DIR")
    if not named:
        try:
            found = _LOG_DEFAULT.search(files.compose.read_text("utf-8"))
        except OSError:
            found = None
        named = found[1] if found else "logs"
    return (files.root / named).resolve()


def _installed() -> Iterator[tuple[str, str]]:
    """Yield the programs besides Prometheus that are on the PATH and are what they are called."""
    alertmanager = find_program("alertmanager")
    if alertmanager is not None:
        yield "alertmanager", str(alertmanager)
    loki = program_called("loki", "--version", "loki, version")
    if loki is not None:
        yield "loki", loki
        # One agent ships the logs: Alloy where it is installed, for Promtail has reached its end of life.
        alloy = program_called("alloy", "--version", "alloy, version")
        promtail = None if alloy else program_called("promtail", "--version", "promtail, version")
        if alloy or promtail:
            yield ("alloy", alloy) if alloy else ("promtail", str(promtail))
    grafana = program_called("grafana-server", "-v", "version")
    if grafana is not None and _grafana_home(grafana) is not None:
        yield "grafana", grafana


def program_called(program: str, option: str, says: str) -> str | None:
    """Return the program's path when it says of itself what it is: Debian's `loki` is about genetics."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a program found on the PATH
            [path, option], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return path if (done.stdout + done.stderr).lower().lstrip().startswith(says) else None


def _render(place: Place, found: frozenset[str]) -> NativeStack:
    watched = read_watched(place.files)
    targets: dict[str, list[str]] = {}
    for entry in watched:
        targets.setdefault(entry.job, []).extend(entry.addresses)
    running = [name for name in PART_PORTS if name in found and name not in {"prometheus", "alertmanager"}]
    targets |= {name: [f"{_HOST}:{place.port(name)}"] for name in running}
    if "alertmanager" not in found:
        targets["alertmanager"] = []  # or Prometheus would report it as down
    return render_native(
        place.folder("config"),
        targets=targets,
        services={entry.job: entry.service for entry in watched},
        prometheus_port=place.port("prometheus"),
        alertmanager_port=place.port("alertmanager"),
        secrets=place.files.monitoring / "secrets",
        files=place.files,
    )


def _prometheus(place: Place, stack: NativeStack) -> Part:
    port = place.port("prometheus")
    command = prometheus_command(stack.prometheus_config, place.folder("prometheus"), port, files=place.files)
    return Part("prometheus", tuple(command), port, "/-/ready")


def _alertmanager(place: Place, stack: NativeStack) -> Part:
    port = place.port("alertmanager")
    command = alertmanager_command(stack.alertmanager_config, place.folder("alertmanager"), port)
    return Part("alertmanager", tuple(command), port, "/-/ready")


def _loki(place: Place, program: str) -> Part:
    port = place.port("loki")
    command = (
        program,
        f"-config.file={place.files.monitoring / 'loki-config.yml'}",
        "-config.expand-env=true",
        f"-server.http-listen-address={_HOST}",
        f"-server.http-listen-port={port}",
        f"-server.grpc-listen-address={_HOST}",
    )
    environ = {
        "LOKI_DATA": str(place.folder("loki")),
        "LOKI_RULES": str(place.files.monitoring / "loki-rules"),
        "ALERTMANAGER_URL": place.url("alertmanager"),
    }
    return Part("loki", command, port, "/ready", environ)


def _promtail(place: Place, program: str) -> Part:
    port = place.port("promtail")
    command = (
        program,
        f"-config.file={place.files.monitoring / 'promtail-config.yml'}",
        "-config.expand-env=true",
        f"-server.http-listen-address={_HOST}",
        f"-server.http-listen-port={port}",
    )
    return Part("promtail", command, port, "/ready", _agent_environ(place, "promtail"))


def _alloy(place: Place, program: str) -> Part:
    port = place.port("alloy")
    command = (
        program,
        "run",
        f"--server.http.listen-addr={_HOST}:{port}",
        f"--storage.path={place.folder('alloy')}",
        "--disable-reporting",
        str(place.files.monitoring / "config.alloy"),
    )
    return Part("alloy", command, port, "/-/ready", _agent_environ(place, "alloy"))


def _agent_environ(place: Place, name: str) -> dict[str, str]:
    return {
        "PROMTAIL_DATA": str(place.folder(name)),
        "LOG_DIR": str(log_folder(place.files, os.environ)),
        "LOKI_URL": place.url("loki"),
        "TEMPO_OTLP": f"{_HOST}:14317",
    }


def _grafana(place: Place, program: str) -> Part:
    home, data, port = _grafana_home(program), place.folder("grafana"), place.port("grafana")
    assert home is not None, "looked for before"
    environ = {
        "GF_SERVER_HTTP_ADDR": _HOST,
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_PATHS_DATA": str(data),
        "GF_PATHS_LOGS": str(data / "log"),
        "GF_PATHS_PLUGINS": str(data / "plugins"),
        "GF_PATHS_PROVISIONING": str(place.files.root / "grafana" / "provisioning"),
        "GF_SECURITY_ADMIN_PASSWORD": _password(place.files),
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "BOTMETRY_DASHBOARDS": str(place.files.dashboards),
        "PROMETHEUS_URL": place.url("prometheus"),
        "ALERTMANAGER_URL": place.url("alertmanager"),
        "LOKI_URL": place.url("loki"),
        "TEMPO_URL": f"http://{_HOST}:3200",
    }
    return Part("grafana", (program, f"--homepath={home}"), port, "/api/health", environ)


def _password(files: StackFiles) -> str:
    path = files.monitoring / "secrets" / "grafana_admin_password"
    try:
        text = path.read_text("utf-8").strip()
    except OSError as error:
        raise StackError(f"{path} cannot be read; run `botmetry init --secrets`: {error.strerror}") from error
    if not text:
        raise StackError(f"{path} is empty; delete it and run `botmetry init --secrets`")
    return text


def _grafana_home(program: str) -> Path | None:
    homes = (Path(program).resolve().parent.parent, *map(Path, _GRAFANA_HOMES))
    return next((home for home in homes if (home / "conf" / "defaults.ini").is_file()), None)
