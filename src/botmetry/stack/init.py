"""The whole stack put into a project: this package's files under the project's names, and its secrets.

Nothing is written before it is known that nothing is in the way: files that exist are named and left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from botmetry.errors import StackError
from botmetry.stack.files import shipped
from botmetry.stack.naming import Names
from botmetry.stack.secret_files import FOLDER, IGNORE, SecretFiles, make_secrets
from botmetry.stack.services import Service, check_services

__all__ = ["FilesExistError", "Made", "describe", "initialise", "project_from"]

_COMPOSE = "docker-compose.monitoring.yml"
_LOGS = "logs"
_IGNORED = {f"{FOLDER}/.gitignore": IGNORE, f"{_LOGS}/.gitignore": "*\n!.gitignore\n"}


class FilesExistError(StackError):
    """Files that would be written are there already.

    Attributes:
        paths: Which ones, relative to the project.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        files = "1 of the files exists" if len(paths) == 1 else f"{len(paths)} of the files exist"
        super().__init__(f"{files}, nothing was changed; --force replaces what is there")
        self.paths = tuple(paths)


@dataclass(frozen=True, slots=True)
class Made:
    """What was written.

    Attributes:
        files: Paths relative to the project.
        secrets: The secrets files among them.
    """

    files: tuple[str, ...]
    secrets: SecretFiles


def initialise(root: Path, services: Sequence[Service], *, project: str, force: bool = False) -> Made:
    """Write the stack into `root`, which is made.

    Args:
        root: The project's folder.
        services: What to watch; the first takes the place of the bot in examples and tests, the second the worker's.
        project: The name for logs and dashboards.
        force: Replace files that exist. Secrets are never replaced.

    Raises:
        FilesExistError: Files exist and `force` was not given; nothing was changed.
        StackError: The services do not fit together, or something cannot be written.
    """
    check_services(services)
    texts = {**_IGNORED, **dict(_renamed(Names(project, services)))}
    _check_places(root, texts)
    there = [name for name in sorted(texts) if (root / name).exists() or (root / name).is_symlink()]
    if there and not force:
        raise FilesExistError(there)
    try:
        for name, text in texts.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        raise StackError(f"{error.filename or root} cannot be written: {error.strerror}") from error
    secrets = make_secrets(root)
    return Made(tuple(sorted([*texts, *(f"{FOLDER}/{name}" for name in secrets.made)])), secrets)


def describe(made: Made, root: Path, services: Sequence[Service]) -> Iterator[str]:
    """Yield what a person should know afterwards: where things are, and what comes next."""
    yield f"{len(made.files)} files in {root}: monitoring/, grafana/, {_COMPOSE}, {_LOGS}/"
    yield f"  Grafana   user admin, password in {FOLDER}/grafana_admin_password"
    if made.secrets.empty:
        yield f"  alerts    reach nobody until these have a content: {FOLDER}/{{{','.join(made.secrets.empty)}}}"
    for service in services:
        yield f"  {service.name}   telemetry.serve(port={service.port}), log to {_LOGS}/{service.name}.jsonl"
    yield "Next: botmetry up"


def project_from(root: Path) -> str:
    """Return a name for the project in `root`, made from the folder's."""
    name = re.sub(r"[^a-z0-9_]+", "-", root.resolve().name.lower()).strip("-_")
    return name if re.match("[a-z]", name) else f"bots-{name}".rstrip("-")


def _check_places(root: Path, names: Iterable[str]) -> None:
    """Refuse files in the place of folders and folders in the place of files, which `force` does not replace."""
    for name in names:
        for folder in (root / part for part in PurePath(name).parents):
            if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
                raise StackError(f"{folder} cannot be written: Not a directory")
        if (root / name).is_dir():
            raise StackError(f"{root / name} cannot be written: Is a directory")


def _renamed(names: Names) -> Iterator[tuple[str, str]]:
    source = shipped()
    for name in _names(source):
        yield name, names.rename((source / name).read_text("utf-8"))


def _names(source: Path) -> Iterator[str]:
    yield from sorted(path.name for path in source.glob("docker-compose.*.yml"))
    for folder in ("monitoring", "grafana"):
        for path in sorted((source / folder).rglob("*")):
            name = path.relative_to(source).as_posix()
            if path.is_file() and not _is_local(name):
                yield name


def _is_local(name: str) -> bool:
    """Return whether a file belongs to one machine: secrets, and targets that somebody added."""
    return name.startswith(f"{FOLDER}/") or (name.startswith("monitoring/targets/") and name.endswith(".yml"))
