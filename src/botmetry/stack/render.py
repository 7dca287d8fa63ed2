"""Generated files: written, or compared with what is committed."""

from __future__ import annotations

from pathlib import Path

from botmetry.errors import StackError
from botmetry.stack.dashboards import boards
from botmetry.stack.files import StackFiles
from botmetry.stack.rulebook import read_rulebook

__all__ = ["generated", "stale", "write"]


def generated(files: StackFiles) -> dict[Path, str]:
    """Return the content of every generated file by its path.

    Raises:
        StackError: A dashboard names something that does not exist, or a rule file cannot be read.
    """
    return {files.dashboards / f"{board.uid}.json": board.encode() for board in boards(read_rulebook(files))}


def write(files: StackFiles) -> list[Path]:
    """Write the generated files and remove those that nothing generates any more; return what changed."""
    wanted = generated(files)
    files.dashboards.mkdir(parents=True, exist_ok=True)
    changed = stale(files)
    for path in changed:
        if path in wanted:
            path.write_text(wanted[path], "utf-8")
        else:
            path.unlink()
    return changed


def stale(files: StackFiles) -> list[Path]:
    """Return the generated files that are missing, differ, or should not be there.

    Raises:
        StackError: As `generated`.
    """
    wanted = generated(files)
    there = set(files.dashboards.glob("*.json"))
    return sorted(
        path for path in there | wanted.keys() if path not in there or wanted.get(path) != _read(path)
    )


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise StackError(f"{path}: {error.strerror}") from error
