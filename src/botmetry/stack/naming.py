"""The stack's texts under another name: what is midas' in this repository becomes the project's that takes them.

The agents give the project's name to every line as the label `job`, so it stands in their configuration, and queries
for logs, dashboards and runbooks have to agree with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from botmetry.stack.files import StackFiles
from botmetry.stack.services import Service

__all__ = ["OWN_PROJECT", "Names", "project_name", "renamed_dashboard"]

OWN_PROJECT = "midas"

_LOG_JOB = re.compile(r'^\s*job\s*[:=]\s*"?([a-z][a-z0-9_-]*)"?', re.MULTILINE)
_PLACES = re.compile(
    r"""
      (?P<jobs>(?:^[ ]{2}-[ ]job_name:[ ]midas-.*\n(?:^[ ]{4}.*\n)+\n?)+)
    | (?P<absent>absent\(up\{job="midas-[^}]*\}\)(?:\s+or\s+absent\(up\{job="midas-[^}]*\}\))*)
    | (?P<sample>^[ ]+-[ ]series:[ ]'up\{job="midas-worker",instance="worker:8001"[^\n]*\n[ ]+values:[^\n]*\n)
    | (?P<logs>\.demo/logs)
    | (?P<bot>midas-bot) | (?P<worker>midas-worker) | (?P<role>midas_monitoring)
    | \b(?P<project>midas)\b | \b(?P<title>Midas)\b
    """,
    re.VERBOSE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Names:
    """Who takes the place of midas, its bot and its worker.

    Attributes:
        project: The value of the label `job` of every log line.
        services: The first takes the bot's place, the second the worker's; all of them are scraped and missed.
    """

    project: str
    services: Sequence[Service]

    @property
    def worker(self) -> str:
        """The name in the worker's place; where there is no second service, one that examples can speak of."""
        if len(self.services) > 1:
            return self.services[1].name
        made = f"{self.project}-worker"
        return made if made != self.services[0].name else f"{made}-2"

    def rename(self, text: str) -> str:
        """Return a text of the stack with the new names; one pass, so that what was put in stays as it is."""
        return _PLACES.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        makers: dict[str, Callable[[str], str]] = {
            "jobs": self._jobs,
            "absent": self._absent,
            "sample": self._samples,
            "logs": lambda _: "logs",
            "bot": lambda _: self.services[0].name,
            "worker": lambda _: self.worker,
            "role": lambda _: f"{self.project.replace('-', '_')}_monitoring",
            "project": lambda _: self.project,
            "title": lambda _: _title(self.project),
        }
        assert match.lastgroup is not None, "every branch of the expression is a group"
        return makers[match.lastgroup](match[0])

    def _jobs(self, text: str) -> str:
        """Turn the first of midas' scrape jobs into one for each service."""
        first = text.split("\n\n", 1)[0].rstrip("\n")
        made = (
            first.replace("midas-bot", service.name).replace(":8000", f":{service.port}")
            for service in self.services
        )
        return "\n\n".join(made) + "\n\n"

    def _absent(self, text: str) -> str:
        between = re.search(r"\)(\s+)or", text)
        space = between[1] if between else " "
        return f"{space}or ".join(
            f'absent(up{{job="{service.name}",service="{service.name}"}})' for service in self.services
        )

    def _samples(self, text: str) -> str:
        """Feed the tests of the rules a sample of every service that is neither bot nor worker."""
        samples = [text.replace("midas-worker", self.worker)]
        samples += [
            text.replace("midas-worker", service.name).replace(
                "worker:8001", f"{service.name}:{service.port}"
            )
            for service in self.services[2:]
        ]
        return "".join(samples)


def project_name(files: StackFiles) -> str:
    """Return the name that a project's agents give to every log line; midas where none of them says it."""
    for name in ("promtail-config.yml", "config.alloy"):
        path = files.monitoring / name
        found = _LOG_JOB.search(path.read_text("utf-8")) if path.is_file() else None
        if found is not None:
            return found[1]
    return OWN_PROJECT


def renamed_dashboard(text: str, project: str) -> str:
    """Return a generated dashboard with the project's name in its title and in its queries for logs."""
    if project == OWN_PROJECT:
        return text
    return re.sub(r"\bmidas\b", project, re.sub(r"\bMidas\b", _title(project), text))


def _title(project: str) -> str:
    return " ".join(word.capitalize() for word in re.split(r"[-_]+", project) if word)
