"""The commands and what each of them runs.

A wrong call gets one clear line on the error output and exit code 2; what a person could not have caused gets its
traceback. Each command imports what it needs when it runs, so that the bot does not pay for the demo's screen.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from botmetry.errors import BotmetryError
from midas.cli.parsers import add_queue_commands, add_saga_commands, whole
from midas.errors import MidasError, SettingsError, StatementError
from midas.settings import Settings

__all__ = ["main"]

WRONG_CALL = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

Environ = Mapping[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    try:
        parsed = parser.parse_args(arguments)
        command: Callable[[argparse.Namespace, Environ], int] = parsed.command
        return command(parsed, os.environ)
    except (MidasError, BotmetryError, OSError) as error:
        return _complain(_name(arguments), str(error))
    except KeyboardInterrupt:
        return INTERRUPTED


def _demo(arguments: argparse.Namespace, environ: Environ) -> int:
    from midas.demo.options import options_from  # noqa: PLC0415 - see the module's docstring

    if arguments.fault == "?":
        from midas.demo.fault_list import fault_lines  # noqa: PLC0415

        _say("\n".join(fault_lines()))
        return 0
    options = options_from(arguments, environ)  # checked before anything else is loaded
    from midas.demo.run import run_demo  # noqa: PLC0415

    return run_demo(options, environ)


def _bot(_: argparse.Namespace, environ: Environ) -> int:
    settings = Settings.from_env(environ)
    settings.required("telegram_token")  # said at once, not after the seconds that loading aiogram takes
    from midas.bot import run_bot  # noqa: PLC0415

    asyncio.run(run_bot(settings))
    return 0


def _worker(arguments: argparse.Namespace, environ: Environ) -> int:
    settings = Settings.from_env(environ)
    settings.required("redis_url")
    from midas.worker import run_worker  # noqa: PLC0415

    port = settings.worker_metrics_port if arguments.metrics_port is None else arguments.metrics_port
    asyncio.run(run_worker(settings, worker_id=arguments.id or f"worker-{os.getpid()}", metrics_port=port))
    return 0


def _import(arguments: argparse.Namespace, environ: Environ) -> int:
    from midas.sync.statements import parse_statement  # noqa: PLC0415

    # The file first: what is wrong with it is said before anything is connected to.
    path = Path(arguments.file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StatementError(str(path), None, (error.strerror or str(error)).lower()) from error
    parse_statement(path.name, data)
    settings = Settings.from_env(_with_running_demo(environ))
    _say(asyncio.run(_import_statement(settings, arguments.user, path.name, data)))
    return 0


async def _import_statement(settings: Settings, user_id: int, name: str, data: bytes) -> str:
    from botmetry import LogSettings, Telemetry  # noqa: PLC0415
    from midas.ai import Categorizer  # noqa: PLC0415
    from midas.confirmations import ConfirmationService  # noqa: PLC0415
    from midas.queue import AITaskQueue  # noqa: PLC0415
    from midas.redis import connect  # noqa: PLC0415
    from midas.store import open_store  # noqa: PLC0415
    from midas.sync import StatementImports, SyncService  # noqa: PLC0415

    # Its answer is one line for a person; who wants the log as well says where it should go.
    telemetry = Telemetry(
        service="midas-import", log=LogSettings(output=os.environ.get("LOG_OUTPUT") or "none")
    )
    async with (
        open_store(settings.required("database_url"), telemetry) as store,
        connect(settings.required("redis_url")) as redis,
        AITaskQueue(redis, telemetry=telemetry) as queue,
    ):
        confirmations = ConfirmationService(redis, telemetry=telemetry)
        categorizer = Categorizer(store.merchants, None, telemetry)
        async with StatementImports(store, queue, confirmations, settings.redis_url, telemetry) as imports:
            sync = SyncService(store, queue, categorizer, confirmations, telemetry, imports=imports)
            report = await sync.import_statement(user_id, name, data)
    transactions = "transaction" if report.found == 1 else "transactions"
    return (
        f"{name}: {report.found} {transactions} found, {report.new} new, {report.duplicates} known already, "
        f"{report.queued} on their way to the AI"
    )


def _migrate(arguments: argparse.Namespace, environ: Environ) -> int:
    from midas.store import migrations  # noqa: PLC0415

    url = Settings.from_env(_with_running_demo(environ)).required("database_url")
    folder = Path(arguments.folder) if arguments.folder else None
    applied = asyncio.run(migrations.apply(url, folder))
    _say("\n".join(f"applied {name}" for name in applied) or "nothing to apply: the database is up to date")
    return 0


def _saga(arguments: argparse.Namespace, environ: Environ) -> int:
    from midas.cli import sagas  # noqa: PLC0415

    return _ask_redis(sagas.run, arguments, environ)


def _queue(arguments: argparse.Namespace, environ: Environ) -> int:
    from midas.cli import queues  # noqa: PLC0415

    return _ask_redis(queues.run, arguments, environ)


def _ask_redis(
    run: Callable[[argparse.Namespace, str], Coroutine[Any, Any, str]],
    arguments: argparse.Namespace,
    environ: Environ,
) -> int:
    from midas.redis import connect  # noqa: PLC0415

    url = Settings.from_env(_with_running_demo(environ)).required("redis_url")
    try:
        connect(url)  # which sends nothing yet
    except ValueError as error:
        raise SettingsError("REDIS_URL", f"cannot be read ({error})") from None
    _say(asyncio.run(run(arguments, url)))
    return 0


def _setup(_: argparse.Namespace, __: Environ) -> int:
    from midas.demo.system_packages import set_up  # noqa: PLC0415

    set_up(_say)
    return 0


def _parser() -> argparse.ArgumentParser:
    from midas.demo.options import add_arguments  # noqa: PLC0415

    parser = _Parser(prog="midas", description="The finance assistant that botmetry watches.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    demo = commands.add_parser("demo", help="run everything on this machine, with users and a live summary")
    add_arguments(demo)
    demo.set_defaults(command=_demo)
    bot = commands.add_parser("bot", help="run the bot; needs DATABASE_URL, REDIS_URL and TELEGRAM_BOT_TOKEN")
    bot.set_defaults(command=_bot)
    worker = commands.add_parser("worker", help="run one worker; needs DATABASE_URL and REDIS_URL")
    worker.add_argument("--id", metavar="NAME", help="its name in logs and leases (default: worker-PID)")
    worker.add_argument(
        "--metrics-port",
        metavar="PORT",
        type=whole(0, 65_535),
        help="default: WORKER_METRICS_PORT, else 8001",
    )
    worker.set_defaults(command=_worker)
    importing = commands.add_parser("import", help="import a bank statement, OFX or CSV")
    importing.add_argument("file", metavar="FILE")
    importing.add_argument(
        "--user",
        metavar="ID",
        type=whole(1, 2**63 - 1),
        default=1,
        help="whose transactions they are (default: 1)",
    )
    importing.set_defaults(command=_import)
    saga = commands.add_parser("saga", help="look at sagas: ls, show, resume, skip, resolve, abort")
    add_saga_commands(saga)
    saga.set_defaults(command=_saga)
    queue = commands.add_parser("queue", help="look at queues: ls, show, replay, purge, stats")
    add_queue_commands(queue)
    queue.set_defaults(command=_queue)
    migrate = commands.add_parser("migrate", help="bring the database of DATABASE_URL to the newest schema")
    migrate.add_argument("--folder", metavar="FOLDER", help="where the migrations are (default: migrations/)")
    migrate.set_defaults(command=_migrate)
    setup = commands.add_parser(
        "setup", help="install Prometheus, Alertmanager and Redis where that is possible"
    )
    setup.set_defaults(command=_setup)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, not after a page of usage."""

    def error(self, message: str) -> NoReturn:
        """End the program with the one line."""
        sys.exit(_complain(self.prog, f"{message}; {self.prog} --help shows what is possible"))


def _with_running_demo(environ: Environ) -> Environ:
    """Add the addresses of the demo that runs in this folder, when none are given.

    Raises:
        SettingsError: None are given, and none runs here.
    """
    if environ.get("DATABASE_URL") or environ.get("REDIS_URL"):
        return environ
    try:
        found: dict[str, str] = json.loads(Path(".demo", "stores.json").read_text())
    except (OSError, ValueError):
        raise SettingsError(
            "DATABASE_URL and REDIS_URL", "are not set, and no demo runs in this folder"
        ) from None
    return {**environ, **found}


def _name(arguments: Sequence[str] | None) -> str:
    given = sys.argv[1:] if arguments is None else arguments
    return " ".join(["midas", *given[:1]])


def _complain(who: str, what: str) -> int:
    print(f"{who}: {' '.join(what.split())}", file=sys.stderr)  # noqa: T201 - the command's error line
    return WRONG_CALL


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the command's answer
