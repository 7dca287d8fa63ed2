"""Where the files of a monitoring stack lie: `monitoring/`, `grafana/` and the compose file of one project."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from botmetry.errors import StackError

__all__ = ["StackFiles", "find_stack", "shipped"]


@dataclass(frozen=True, slots=True)
class StackFiles:
    """The files of one project's stack.

    Attributes:
        root: The folder that holds `monitoring/` and `grafana/`.
    """

    root: Path

    @property
    def monitoring(self) -> Path:
        """Prometheus, Alertmanager, Loki, Promtail, Alloy, runbooks and the rules' tests."""
        return self.root / "monitoring"

    @property
    def prometheus(self) -> Path:
        """What is scraped."""
        return self.monitoring / "prometheus.yml"

    @property
    def alertmanager(self) -> Path:
        """Who is told."""
        return self.monitoring / "alertmanager.yml"

    @property
    def alerts(self) -> Path:
        """The alert rules, and with them every threshold."""
        return self.monitoring / "alerts.yml"

    @property
    def recording(self) -> Path:
        """The recording rules."""
        return self.monitoring / "recording.yml"

    @property
    def service_levels(self) -> Path:
        """What users are promised."""
        return self.monitoring / "slo.yml"

    @property
    def service_level_rules(self) -> Path:
        """The rules that are generated from it."""
        return self.monitoring / "slo-rules.yml"

    @property
    def rules(self) -> tuple[Path, ...]:
        """Every rule file."""
        return (self.alerts, self.recording, self.service_level_rules)

    @property
    def log_rules(self) -> tuple[Path, ...]:
        """The alert rules of Loki's ruler."""
        return tuple(sorted((self.monitoring / "loki-rules").glob("*/*.yml")))

    @property
    def runbooks(self) -> Path:
        """A page an alert."""
        return self.monitoring / "runbooks"

    @property
    def templates(self) -> Path:
        """Alertmanager's message templates."""
        return self.monitoring / "templates"

    @property
    def rule_tests(self) -> tuple[Path, ...]:
        """The promtool tests, by name."""
        return tuple(sorted((self.monitoring / "tests").glob("*.yml")))

    @property
    def dashboards(self) -> Path:
        """The generated dashboards."""
        return self.root / "grafana" / "dashboards"

    @property
    def compose(self) -> Path:
        """The stack in containers."""
        return self.root / "docker-compose.monitoring.yml"

    def relative(self, path: Path) -> str:
        """Return `path` as a person in the project's root would write it."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def find_stack(start: Path | None = None) -> StackFiles:
    """Find the stack around `start` (the working folder), else the one that belongs to this source tree.

    Raises:
        StackError: Neither has a `monitoring/prometheus.yml`.
    """
    begin = (start or Path.cwd()).resolve()
    for folder in _candidates(begin):
        if (folder / "monitoring" / "prometheus.yml").is_file():
            return StackFiles(folder)
    raise StackError(
        f"{begin} and the folders above it have no monitoring/prometheus.yml; run this in the project"
    )


def shipped() -> Path:
    """Return the folder that holds the stack's own files: inside an installed package, or the source tree.

    Raises:
        StackError: They are in neither.
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "project", here.parents[3]):
        if StackFiles(folder).compose.is_file():
            return folder
    raise StackError("this installation of botmetry lacks the files of the stack; install it again")


def _candidates(begin: Path) -> Iterator[Path]:
    yield begin
    yield from begin.parents
    # An editable install: src/botmetry/stack/files.py lies three folders below the project.
    yield Path(__file__).resolve().parents[3]
