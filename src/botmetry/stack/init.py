"""The whole stack put into a project: this package's files under the project's names, and its secrets.

Nothing is written before it is known that everything can be: files that exist are named and left alone.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from botmetry.errors import StackError
from botmetry.stack.naming import Names
from botmetry.stack.services import Service, check_services

__all__ = ["FilesExistError", "Made", "describe", "initialise", "make_secrets", "project_from", "shipped"]

_COMPOSE = "docker-compose.monitoring.yml"
_SECRETS = "monitoring/secrets"
_LOGS = "logs"
_SECRET = re.compile(r"file: \./monitoring/secrets/(\w+)")
# What somebody else gives out: a token, an address, the password of an account. All others are ours to choose.
_GIVEN = frozenset(
    {"telegram_bot_token", "telegram_chat_id", "alert_webhook_url", "deadman_webhook_url", "smtp_password"}
)
_PASSWORD_BYTES = 24
_IGNORED = {
    f"{_SECRETS}/.gitignore": "# Secrets stay on this machine.\n*\n!.gitignore\n",
    f"{_LOGS}/.gitignore": "*\n!.gitignore\n",
}


class FilesExistError(StackError):
    """Files that would be written are there already.

    Attributes:
        paths: Which ones, relative to the project.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__(f"{len(paths)} of the files exist, nothing was changed; --force replaces them")
        self.paths = tuple(paths)


@dataclass(frozen=True, slots=True)
class Made:
    """What was written.

    Attributes:
        files: Paths relative to the project.
        secrets: Names of the secrets files that were made.
        empty: Names of the secrets files that wait for a content.
    """

    files: tuple[str, ...]
    secrets: tuple[str, ...]
    empty: tuple[str, ...]


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
    made, empty = make_secrets(root)
    return Made(tuple(sorted(texts)), made, empty)


def make_secrets(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Make the secrets files that a project's compose files name and that are missing.

    Passwords are random; what somebody else gives out is an empty file. The folder is its owner's only. The files in it
    may be read by all who can enter, because the programs in the containers run under other accounts.

    Returns:
        The names of the files that were made, and of all that are empty.

    Raises:
        StackError: There is no compose file, or something cannot be written.
    """
    compose = sorted(root.glob("docker-compose.*.yml"))
    names = sorted({name for path in compose for name in _SECRET.findall(path.read_text("utf-8"))})
    if not names:
        raise StackError(f"{root} has no {_COMPOSE}; run `botmetry init` there first")
    folder = root / _SECRETS
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name in names:
            if not (folder / name).exists():
                _write_secret(folder / name, "" if name in _GIVEN else secrets.token_urlsafe(_PASSWORD_BYTES))
                made.append(name)
    except OSError as error:
        raise StackError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return tuple(made), tuple(name for name in names if not (folder / name).stat().st_size)


def project_from(root: Path) -> str:
    """Return a name for the project in `root`, made from the folder's."""
    name = re.sub(r"[^a-z0-9_]+", "-", root.resolve().name.lower()).strip("-_")
    return name if re.match("[a-z]", name) else f"bots-{name}".rstrip("-")


def shipped() -> Path:
    """Return the folder that holds the stack's own files: inside an installed package, or the source tree.

    Raises:
        StackError: They are in neither.
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "project", here.parents[3]):
        if (folder / _COMPOSE).is_file():
            return folder
    raise StackError("this installation of botmetry lacks the files of the stack; install it again")


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
    return name.startswith(f"{_SECRETS}/") or (
        name.startswith("monitoring/targets/") and name.endswith(".yml")
    )


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)


def describe(made: Made, root: Path, services: Sequence[Service]) -> Iterator[str]:
    """Yield what a person should know after `initialise`: where things are, and what comes next."""
    yield f"{len(made.files)} files in {root}: monitoring/, grafana/, {_COMPOSE}, {_LOGS}/"
    yield f"  Grafana's password   {_SECRETS}/grafana_admin_password (user admin)"
    if made.empty:
        yield f"  alerts reach nobody  until you fill {', '.join(made.empty)} in {_SECRETS}/"
    yield "Next:"
    for service in services:
        yield f"  {service.name}: telemetry.serve(port={service.port}), log to {_LOGS}/{service.name}.jsonl"
    yield "  botmetry up      # runs the stack; `botmetry check` checks it"
