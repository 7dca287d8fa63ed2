"""Generated files, dashboards and the rules of the service levels: written, or compared with what is committed."""

from __future__ import annotations

from pathlib import Path

from botmetry.errors import StackError
from botmetry.stack.dashboards import boards
from botmetry.stack.dashboards.own import own
from botmetry.stack.files import StackFiles
from botmetry.stack.naming import project_name, renamed_dashboard
from botmetry.stack.own_metrics import read_own_metrics
from botmetry.stack.pages import pages
from botmetry.stack.rulebook import read_rulebook
from botmetry.stack.slo import read_service_levels
from botmetry.stack.slo_rules import render_service_levels

__all__ = ["generated", "stale", "write"]


def generated(files: StackFiles) -> dict[Path, str]:
    """Return the content of every generated file by its path.

    The rules of service levels with faults are left out: `stale` and `write` refuse them, the check tells of each.

    Raises:
        StackError: A dashboard names something that does not exist, or a rule file cannot be read.
    """
    project = project_name(files)
    made = {
        files.dashboards / f"{board.uid}.json": renamed_dashboard(board.encode(), project)
        for board in (*boards(read_rulebook(files)), *own(read_own_metrics(files)))
    } | pages(files, project)
    levels = read_service_levels(files)
    return made if levels.problems else made | {files.service_level_rules: render_service_levels(levels)}


def write(files: StackFiles) -> list[Path]:
    """Write the generated files and remove those that nothing generates any more; return what changed.

    Raises:
        StackError: As `stale`.
    """
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
        StackError: As `generated`, or something is wrong with a service level.
    """
    for problem in read_service_levels(files).problems:
        raise StackError(str(problem))
    wanted = generated(files)
    there = {path for path in wanted if path.is_file()} | set(files.dashboards.glob("*.json"))
    return sorted(
        path for path in there | wanted.keys() if path not in there or wanted.get(path) != _read(path)
    )


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise StackError(f"{path}: {error.strerror}") from error
