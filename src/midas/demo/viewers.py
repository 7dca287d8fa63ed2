"""Loki, Promtail and Grafana, natively where their programs are on the PATH, with the repository's own files.

Those files take folders and addresses from the environment; only ports are given on the command line. None of the
three is in Debian, and Debian's ``loki`` is a program for genetics: a program counts only if it says of itself what it
is.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from botmetry.stack.files import StackFiles, find_stack
from midas.demo.folder import DataFolder
from midas.demo.kept import Program
from midas.demo.options import Ports
from midas.demo.ports import free_port

__all__ = ["VIEWERS", "Viewers", "viewers_present"]

VIEWERS = ("loki", "promtail", "grafana")

_HOST = "127.0.0.1"
_VERSION_SECONDS = 10.0
_START_SECONDS = 60.0
# Grafana's own files (conf/defaults.ini, public/): where its packages put them, beside the program in its archive.
_GRAFANA_HOMES = ("/usr/share/grafana", "/usr/local/share/grafana")


def viewers_present() -> dict[str, Path]:
    """Return the programs that are installed and are what they are called, by name."""
    found = {}
    for name, program in (("loki", "loki"), ("promtail", "promtail"), ("grafana", "grafana-server")):
        path = shutil.which(program)
        if path is not None and _says(path, name):
            found[name] = Path(path)
    if "grafana" in found and _grafana_home(found["grafana"]) is None:
        del found["grafana"]
    if "loki" not in found:
        found.pop("promtail", None)  # it would have nobody to ship to
    return found


@dataclass(frozen=True, slots=True)
class Viewers:
    """Makes the programs that are installed.

    Args:
        ports: Of all watchers.
        folder: Where data and output go.
        found: What `viewers_present` returned.
    """

    ports: Ports
    folder: DataFolder
    found: Mapping[str, Path]

    def programs(self) -> list[Program]:
        """Return what can be started."""
        makers = {"loki": self._loki, "promtail": self._promtail, "grafana": self._grafana}
        return [makers[name](self.found[name], find_stack()) for name in VIEWERS if name in self.found]

    def _loki(self, program: Path, files: StackFiles) -> Program:
        command = (
            str(program),
            f"-config.file={files.monitoring / 'loki-config.yml'}",
            "-config.expand-env=true",
            f"-server.http-listen-address={_HOST}",
            f"-server.http-listen-port={self.ports.loki}",
            f"-server.grpc-listen-address={_HOST}",
            f"-server.grpc-listen-port={free_port()}",
        )
        environ = {
            "LOKI_DATA": str(self.folder.place("loki")),
            "LOKI_RULES": str(files.monitoring / "loki-rules"),
            "ALERTMANAGER_URL": self._url(self.ports.alertmanager),
        }
        # It says for its first 15 s that it is not ready, and takes lines all the same.
        return self._program("Loki", command, environ, f"{self._url(self.ports.loki)}/services")

    def _promtail(self, program: Path, files: StackFiles) -> Program:
        command = (
            str(program),
            f"-config.file={files.monitoring / 'promtail-config.yml'}",
            "-config.expand-env=true",
            f"-server.http-listen-address={_HOST}",
            f"-server.http-listen-port={free_port()}",
        )
        environ = {
            "PROMTAIL_DATA": str(self.folder.place("promtail")),
            "LOG_DIR": str(self.folder.logs),
            "LOKI_URL": self._url(self.ports.loki),
        }
        return self._program("Promtail", command, environ, None)

    def _grafana(self, program: Path, files: StackFiles) -> Program:
        home, data = _grafana_home(program), self.folder.place("grafana")
        assert home is not None, "looked for before"
        environ = {
            "GF_SERVER_HTTP_ADDR": _HOST,
            "GF_SERVER_HTTP_PORT": str(self.ports.grafana),
            "GF_PATHS_DATA": str(data),
            "GF_PATHS_LOGS": str(data / "log"),
            "GF_PATHS_PLUGINS": str(data / "plugins"),
            "GF_PATHS_PROVISIONING": str(files.root / "grafana" / "provisioning"),
            # Everybody on this machine may look; nobody has a password to change anything.
            "GF_AUTH_ANONYMOUS_ENABLED": "true",
            "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
            "GF_SECURITY_ADMIN_PASSWORD": secrets.token_urlsafe(24),
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "BOTMETRY_DASHBOARDS": str(files.dashboards),
            "PROMETHEUS_URL": self._url(self.ports.prometheus),
            "ALERTMANAGER_URL": self._url(self.ports.alertmanager),
            "LOKI_URL": self._url(self.ports.loki),
            "TEMPO_URL": self._url(3200),
        }
        command = (str(program), f"--homepath={home}")
        return self._program("Grafana", command, environ, f"{self._url(self.ports.grafana)}/api/health")

    def _program(
        self, name: str, command: tuple[str, ...], environ: Mapping[str, str], ready_url: str | None
    ) -> Program:
        output = self.folder.logs / f"{name.lower()}.log"
        inherited = {"PATH": os.defpath, "HOME": str(self.folder.path), "LANG": "C.UTF-8"}
        return Program(
            name, command, output, ready_url, {**inherited, **environ}, start_seconds=_START_SECONDS
        )

    def _url(self, port: int) -> str:
        return f"http://{_HOST}:{port}"


def _says(program: str, name: str) -> bool:
    """Return whether the program calls itself by that name, as "loki, version 3.6" and "Version 12.1 (…)" do."""
    option = "-v" if name == "grafana" else "--version"
    try:
        called = subprocess.run(  # noqa: S603 - a program found on the PATH
            [program, option], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    said = (called.stdout + called.stderr).lower()
    return said.lstrip().startswith("version" if name == "grafana" else f"{name}, version")


def _grafana_home(program: Path) -> Path | None:
    homes = (program.resolve().parent.parent, *map(Path, _GRAFANA_HOMES))
    return next((home for home in homes if (home / "conf" / "defaults.ini").is_file()), None)
