"""The secrets of the object storage past one machine: one random key, in the three forms that its users read.

Run as `python -m botmetry.stack.storage_secrets monitoring/secrets`. What exists is left alone: a key that is replaced
locks everybody out of what is stored.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from botmetry.errors import StackError

__all__ = ["main", "make_storage_secrets"]

_NAMES = ("garage.env", "garage_rpc_secret", "s3_credentials")


def make_storage_secrets(folder: Path) -> tuple[str, ...]:
    """Write the three files into `folder` and return their names; nothing when all are there.

    Raises:
        StackError: Only some of them are there, or a file cannot be written.
    """
    there = [name for name in _NAMES if (folder / name).exists()]
    if len(there) == len(_NAMES):
        return ()
    if there:
        missing = ", ".join(name for name in _NAMES if name not in there)
        raise StackError(
            f"{folder} has {', '.join(there)} but not {missing}: they hold the same key, so restore or remove all three"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in _texts().items():
            _write(folder / name, text)
    except OSError as error:
        raise StackError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return _NAMES


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the files in the folder that is the only argument; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) != 1:
        sys.stderr.write("usage: python -m botmetry.stack.storage_secrets FOLDER\n")
        return 2
    try:
        made = make_storage_secrets(Path(given[0]))
    except StackError as error:
        sys.stderr.write(f"botmetry: {error}\n")
        return 2
    sys.stdout.write("".join(f"{given[0]}/{name}\n" for name in made))
    return 0


def _texts() -> dict[str, str]:
    # Garage takes keys of this form only: GK and 12 bytes, with a secret of 32 bytes, in hexadecimal.
    key, secret = "GK" + secrets.token_hex(12), secrets.token_hex(32)
    return {
        "garage.env": f"GARAGE_DEFAULT_ACCESS_KEY={key}\nGARAGE_DEFAULT_SECRET_KEY={secret}\n",
        "garage_rpc_secret": secrets.token_hex(32),
        "s3_credentials": f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n",
    }


def _write(path: Path, text: str) -> None:
    # Compose reads garage.env itself, as whoever starts it; the others are mounted with their mode and read by programs
    # under other accounts. The folder is closed to everybody else.
    mode = 0o600 if path.suffix == ".env" else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)


if __name__ == "__main__":
    sys.exit(main())
