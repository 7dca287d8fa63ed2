"""The demo's data folder: one demo at a time, logs that stay, databases that only stay where somebody asked for it."""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from midas.demo.errors import WrongCall
from midas.demo.postgres_files import remove_clusters

__all__ = ["DataFolder"]

_DEFAULT = ".demo"
# What the demo makes; a folder given by a person may hold other things, which are left alone.
_LOGS = "logs"
_STORES = "stores.json"
_DATA = ("postgres", "redis", "prometheus", "alertmanager", "grafana", "loki", "promtail", "config")


class DataFolder:
    """Takes a folder for one demo and gives its places.

    Args:
        chosen: A folder whose databases are kept and used again; None for ``.demo`` in the working folder, which is
            started afresh and keeps only its logs afterwards.
        keep: False treats a chosen folder like the default one.
    """

    def __init__(self, chosen: Path | None, *, keep: bool = True) -> None:
        self.keep = keep and chosen is not None
        self.path = (chosen or Path(_DEFAULT)).absolute()
        self._lock: IO[str] | None = None

    @property
    def logs(self) -> Path:
        """Return the folder of the log files."""
        return self.path / _LOGS

    def place(self, name: str) -> Path:
        """Return the folder of one part, made when missing."""
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def take(self) -> None:
        """Lock the folder, and empty it of an earlier demo unless that one was meant to be kept.

        Raises:
            WrongCall: Another demo runs in it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise WrongCall(
                f"the demo cannot write into {self.path} ({error.strerror}): choose another with --data"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process, however it ends
        except OSError as error:
            lock.close()
            raise WrongCall(
                f"another demo runs in {self.path}: stop it or choose another folder with --data"
            ) from error
        self._lock = lock
        if not self.keep:
            self._empty((*_DATA, _LOGS))
        self.logs.mkdir(exist_ok=True)

    def note_stores(self, urls: Mapping[str, str]) -> None:
        """Write where the databases are, for ``midas import`` beside a running demo; readable by us alone."""
        path = self.path / _STORES
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(urls))

    def give_back(self) -> None:
        """Remove the databases unless they are kept, and let the next demo in."""
        if self._lock is None:
            return
        (self.path / _STORES).unlink(missing_ok=True)
        if not self.keep:
            self._empty(_DATA)
        self._lock.close()
        self._lock = None

    def _empty(self, names: tuple[str, ...]) -> None:
        for name in names:
            remove_clusters(self.path / name)
