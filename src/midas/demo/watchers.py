"""The programs that watch midas, natively, with the repository's own files: Prometheus and Alertmanager."""

from dataclasses import dataclass
from pathlib import Path

from botmetry.stack.native import (
    NativeStack,
    alertmanager_command,
    find_program,
    prometheus_command,
    render_native,
)
from botmetry.stack.pace import REAL, Pace
from midas.demo.folder import DataFolder
from midas.demo.kept import Program
from midas.demo.options import DemoOptions

__all__ = ["Watchers", "present"]

_HOST = "127.0.0.1"
_RETENTION = "2d"  # a demo is looked at while it runs


def present() -> frozenset[str]:
    """Return which of Prometheus and Alertmanager are installed."""
    return frozenset(name for name in ("prometheus", "alertmanager") if find_program(name) is not None)


@dataclass(frozen=True, slots=True)
class Watchers:
    """Makes the programs that are installed.

    Args:
        options: Ports and number of workers.
        folder: Where configurations, data and output go.
        pace: Shorter windows and waits, for tests.
        webhook_url: Receives every notification.
    """

    options: DemoOptions
    folder: DataFolder
    pace: Pace = REAL
    webhook_url: str | None = None

    def programs(self) -> list[Program]:
        """Render the configurations and return what can be started with them."""
        found = present()
        if not found:
            return []
        stack = self._render(found)
        programs = []
        if "prometheus" in found:
            programs.append(self._prometheus(stack))
        if "alertmanager" in found:
            programs.append(self._alertmanager(stack))
        return programs

    def _render(self, found: frozenset[str]) -> NativeStack:
        ports = self.options.ports
        targets = {
            "midas-bot": [f"{_HOST}:{ports.bot}"],
            "midas-worker": [f"{_HOST}:{ports.worker + number}" for number in range(self.options.workers)],
        }
        if "alertmanager" not in found:
            targets["alertmanager"] = []  # or Prometheus would report it as down
        return render_native(
            self.folder.place("config"),
            targets=targets,
            prometheus_port=ports.prometheus,
            alertmanager_port=ports.alertmanager,
            webhook_url=self.webhook_url,
            pace=self.pace,
        )

    def _prometheus(self, stack: NativeStack) -> Program:
        port = self.options.ports.prometheus
        command = prometheus_command(
            stack.prometheus_config, self.folder.place("prometheus"), port, retention=_RETENTION
        )
        return self._program("Prometheus", command, port)

    def _alertmanager(self, stack: NativeStack) -> Program:
        port = self.options.ports.alertmanager
        command = alertmanager_command(stack.alertmanager_config, self.folder.place("alertmanager"), port)
        return self._program("Alertmanager", command, port)

    def _program(self, name: str, command: list[str], port: int) -> Program:
        output: Path = self.folder.logs / f"{name.lower()}.log"
        return Program(name, tuple(command), output, f"http://{_HOST}:{port}/-/ready")
