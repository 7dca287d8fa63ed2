"""The configurations of the programs: each can be read, and the names by which they find each other exist.

What a program alone knows about its options is left to the program; what two files have to agree on is compared here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from botmetry.errors import StackError
from botmetry.stack.checks.board_file import panels_of, text_of
from botmetry.stack.checks.problem import Problem, problem_of
from botmetry.stack.files import StackFiles
from botmetry.stack.located import Located, read_located

__all__ = ["check_configurations"]

# Where each part of the stack says that it is ready; a program that asks itself is told what to ask.
_READY = {
    "prometheus": "127.0.0.1:9090/-/ready",
    "alertmanager": "127.0.0.1:9093/-/ready",
    "grafana": "127.0.0.1:3000/api/health",
    "loki": "/usr/bin/loki -health",
    "promtail": "127.0.0.1/9080; printf 'GET /ready",
    "alloy": "127.0.0.1/12345; printf 'GET /-/ready",
    "tempo": "/tempo --health",
    "redis-exporter": "127.0.0.1:9121/health",
    "postgres-exporter": "127.0.0.1:9187/",
}
_HOST_FILE = re.compile(r"(\./(?:monitoring|grafana)[^:$]*):")


def check_configurations(files: StackFiles) -> Iterator[Problem]:
    """Yield what is wrong with the configurations of the programs and with the compose file."""
    read: dict[Path, Located] = {}
    for path in _paths(files):
        try:
            read[path] = read_located(path)
        except StackError as error:
            yield problem_of(error, files.root, path)
    if files.prometheus in read:
        yield from _rule_files(files, read[files.prometheus])
    for path, document in read.items():
        if path.parent.name == "datasources":
            yield from _sources(files, document)
    if files.compose in read:
        yield from _compose(files, read[files.compose])


def _paths(files: StackFiles) -> Iterator[Path]:
    yield from files.root.glob("docker-compose.*.yml")
    for folder, pattern in (
        (files.monitoring, "*.yml"),
        (files.monitoring, "scale/*.yml"),
        (files.monitoring, "targets/*.yml"),
        (files.root, "grafana/provisioning/*/*.yml"),
    ):
        yield from sorted(folder.glob(pattern))


def _rule_files(files: StackFiles, document: Located) -> Iterator[Problem]:
    named = {entry.text: entry for entry in document.each("rule_files")}
    for name, entry in named.items():
        if not any(files.monitoring.glob(name)):
            yield _problem(entry, f"there is no rule file {name}")
    for path in files.rules:
        if not any(path in files.monitoring.glob(name) for name in named):
            place = document.get("rule_files") or document
            yield _problem(place, f"{path.name} is not among the rule_files: none of its rules is evaluated")


def _sources(files: StackFiles, document: Located) -> Iterator[Problem]:
    uids = {text_of(source, "uid") for source in document.each("datasources")}
    for source in document.each("datasources"):
        for key, found in _entries(source):
            if key == "datasourceUid" and found.text not in uids:
                yield _problem(
                    found, f"{text_of(source, 'name')} leads to {found.text}, which is no data source"
                )
    for path in sorted(files.dashboards.glob("*.json")):
        for uid in _explored(read_located(path)) - uids:
            place = document.get("datasources") or document
            yield _problem(place, f"there is no data source {uid}, to which links of {path.name} lead")


def _entries(part: Located) -> Iterator[tuple[str, Located]]:
    for key, value in part.items():
        yield key, value
        yield from _entries(value)
    for entry in part.each():
        yield from _entries(entry)


def _explored(board: Located) -> set[str]:
    """Return the uids that links into Explore name."""
    found: set[str] = set()
    for panel in panels_of(board):
        for link in panel.each("links"):
            parts = urlsplit(text_of(link, "url"))
            for panes in parse_qs(parts.query).get("panes", ()) if parts.path == "/explore" else ():
                found |= {pane["datasource"] for pane in json.loads(panes).values()}
    return {uid for uid in found if not uid.startswith("$")}


def _compose(files: StackFiles, document: Located) -> Iterator[Problem]:
    services = document.get("services")
    for name, service in services.items() if services is not None else ():
        for volume in service.each("volumes"):
            mounted = _HOST_FILE.match(volume.text)
            if mounted is not None and not (files.root / mounted[1]).exists():
                yield _problem(volume, f"{name}: there is no {mounted[1]}, so Docker mounts an empty folder")
        if name not in _READY:
            continue  # a service of the project's own
        for port in service.each("ports"):
            if not port.text.startswith("127.0.0.1:"):
                yield _problem(port, f"{name}: {port.text} is open to every network; begin with 127.0.0.1:")
        test = service.get("healthcheck", "test")
        asked = " ".join(part.text for part in test.each()) if test is not None else ""
        if not re.search(rf"{re.escape(_READY[name])}(?!\w)", asked):
            yield _problem(test or service, f"{name}: its health check does not ask {_READY[name]}")


def _problem(where: Located, message: str) -> Problem:
    return Problem(where.path, where.line, message)
