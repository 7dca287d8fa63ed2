"""The secrets files of a project: which its compose files name, made where they are missing, never replaced."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from botmetry.errors import StackError

__all__ = ["FOLDER", "IGNORE", "SecretFiles", "make_secrets", "missing_secrets"]

FOLDER = "monitoring/secrets"
IGNORE = "# Secrets stay on this machine.\n*\n!.gitignore\n"

_NAMED = re.compile(r"file: \./monitoring/secrets/(\w+)")
# What somebody else gives out: a token, an address, the password of an account. All others are ours to choose.
_GIVEN = frozenset(
    {"telegram_bot_token", "telegram_chat_id", "alert_webhook_url", "deadman_webhook_url", "smtp_password"}
)
_PASSWORD_BYTES = 24


@dataclass(frozen=True, slots=True)
class SecretFiles:
    """What `make_secrets` did.

    Attributes:
        made: Names of the files that were missing.
        empty: Names of all files that wait for a content.
    """

    made: tuple[str, ...]
    empty: tuple[str, ...]


def make_secrets(root: Path) -> SecretFiles:
    """Make the secrets files that the compose files in `root` name and that are missing.

    Passwords are random; what somebody else gives out becomes an empty file. The folder is its owner's only. The files
    in it may be read by whoever can enter, because the programs in the containers run under other accounts.

    Raises:
        StackError: There is no compose file, or something cannot be written.
    """
    names = _names(sorted(root.glob("docker-compose.*.yml")))
    if not names:
        raise StackError(f"{root} has no docker-compose.monitoring.yml; run `botmetry init` there first")
    folder = root / FOLDER
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if not (folder / ".gitignore").exists():
            (folder / ".gitignore").write_text(IGNORE, "utf-8")
        for name in names:
            if not (folder / name).exists():
                _write(folder / name, "" if name in _GIVEN else secrets.token_urlsafe(_PASSWORD_BYTES))
                made.append(name)
        empty = tuple(name for name in names if not (folder / name).stat().st_size)
    except OSError as error:
        raise StackError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return SecretFiles(tuple(made), empty)


def missing_secrets(compose: Path) -> tuple[str, ...]:
    """Return the names of the secrets files that a compose file needs and that are not there.

    Raises:
        StackError: The compose file cannot be read.
    """
    return tuple(name for name in _names([compose]) if not (compose.parent / FOLDER / name).exists())


def _names(compose: list[Path]) -> list[str]:
    try:
        return sorted({name for path in compose for name in _NAMED.findall(path.read_text("utf-8"))})
    except OSError as error:
        raise StackError(f"{error.filename} cannot be read: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)
