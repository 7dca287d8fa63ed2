"""The command line: `botmetry metrics | init | up | check | render`.

What is wrong with a project's files goes to standard output as `file:line: what`, one a line, and ends with exit
code 1; a call that cannot be carried out gets one line on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from botmetry.errors import BotmetryError, MissingExtraError, StackError
from botmetry.metrics import CATALOGUE, FAMILIES, MetricSpec, family

if TYPE_CHECKING:
    from botmetry.stack.files import StackFiles
    from botmetry.stack.services import Service

__all__ = ["main"]

OK, WRONG, CANNOT = 0, 1, 2

_STACK_LIBRARIES = ("yaml", "promql_parser", "grafana_foundation_sdk")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsed = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    try:
        return command(parsed)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _STACK_LIBRARIES:
            raise
        return _complain(MissingExtraError(error.name, "stack"))
    except BotmetryError as error:
        return _complain(error)
    except BrokenPipeError:
        # `botmetry metrics | head` is no error; what is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _metrics(arguments: argparse.Namespace) -> int:
    for line in _FORMATS[arguments.format]():
        _say(line)
    sys.stdout.flush()
    return OK


def _init(arguments: argparse.Namespace) -> int:
    from botmetry.stack.init import FilesExistError, describe, initialise, project_from  # noqa: PLC0415 - see _check
    from botmetry.stack.secret_files import FOLDER, make_secrets  # noqa: PLC0415 - see _check
    from botmetry.stack.services import check_name  # noqa: PLC0415 - see _check

    root: Path = arguments.folder
    if arguments.secrets:
        for name in make_secrets(root).made:
            _say(f"{FOLDER}/{name}")
        return OK
    project = arguments.name or project_from(root)
    check_name(project, "a project's")
    services = _services(arguments, project)
    try:
        made = initialise(root, services, project=project, force=arguments.force)
    except FilesExistError as error:
        for path in error.paths:
            _say(f"{path} exists")
        return _complain(error)
    for line in describe(made, root, services):
        _say(line)
    return OK


def _services(arguments: argparse.Namespace, project: str) -> list[Service]:
    from botmetry.stack.questions import ask_for_services  # noqa: PLC0415 - see _check
    from botmetry.stack.services import check_services, parse_service  # noqa: PLC0415 - see _check

    if arguments.service or arguments.no_input or not sys.stdin.isatty():
        services = [parse_service(text) for text in arguments.service]
        check_services(services)
        return services
    return ask_for_services(f"{project}-bot", input, _say)


def _up(arguments: argparse.Namespace) -> int:
    from botmetry.stack.containers import run_in_containers  # noqa: PLC0415 - see _check
    from botmetry.stack.native import find_program  # noqa: PLC0415 - see _check
    from botmetry.stack.services import parse_ports  # noqa: PLC0415 - see _check
    from botmetry.stack.up import Stop, run_natively, stop_on_signals  # noqa: PLC0415 - see _check

    files = _own_files(arguments)
    stop = Stop(arguments.duration)
    ports = parse_ports(arguments.port)
    with stop_on_signals(stop):
        if arguments.docker or (not arguments.native and find_program("prometheus") is None):
            run_in_containers(files, _say_now, stop)
        else:
            run_natively(files, _say_now, stop, ports)
    return OK


def _own_files(arguments: argparse.Namespace) -> StackFiles:
    """Return the stack around the working folder, never the one that belongs to botmetry's own source tree."""
    from botmetry.stack.files import find_stack  # noqa: PLC0415 - see _check

    files = find_stack(arguments.project)
    here = Path.cwd().resolve()
    if arguments.project is None and not here.is_relative_to(files.root):
        raise StackError(
            f"{here} and the folders above it have no monitoring/prometheus.yml; run: botmetry init"
        )
    return files


def _check(arguments: argparse.Namespace) -> int:
    from botmetry.stack.check import check_stack  # noqa: PLC0415 - `botmetry metrics` needs none of its libraries

    files = _own_files(arguments)
    report = check_stack(files)
    for problem in report.problems:
        _say(f"{files.relative(problem.path)}:{problem.line}: {problem.message}")
    for program in report.unchecked:
        _say(f"{program} is not on the PATH: what it would have checked was left out", sys.stderr)
    if report.problems:
        _say(_count(len(report.problems), "problem"), sys.stderr)
        return WRONG
    _say("The stack agrees with the catalogue and with itself.")
    return OK


def _render(arguments: argparse.Namespace) -> int:
    from botmetry.stack.render import stale, write  # noqa: PLC0415 - see _check

    files = _own_files(arguments)
    if not arguments.check:
        for path in write(files):
            _say(files.relative(path))
        return OK
    different = stale(files)
    for path in different:
        _say(f"{files.relative(path)}:1: differs from what is generated; run `botmetry render`")
    return WRONG if different else OK


def _kubernetes(arguments: argparse.Namespace) -> int:
    from botmetry.stack.kubernetes import KubernetesOptions, write_kubernetes  # noqa: PLC0415 - see _check

    if arguments.check:
        raise StackError("render --check looks at what is committed; Kubernetes objects are not")
    options = KubernetesOptions(arguments.namespace, dict(arguments.label), arguments.grafana_url.rstrip("/"))
    written, text = write_kubernetes(_own_files(arguments), options, arguments.output)
    for path in written:
        _say(str(path))
    sys.stdout.write(text)
    return OK


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="botmetry", description="The metric catalogue, and the monitoring stack that understands it."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    metrics = commands.add_parser("metrics", help="print every metric that botmetry emits")
    metrics.add_argument("--format", choices=sorted(_FORMATS), default="text", help="default: text")
    metrics.set_defaults(command=_metrics)
    _add_init(commands)
    up = commands.add_parser("up", help="run the stack of this project until Ctrl-C")
    how = up.add_mutually_exclusive_group()
    how.add_argument(
        "--native", action="store_true", help="with the programs on the PATH; default where Prometheus is"
    )
    how.add_argument("--docker", action="store_true", help="in containers; they keep running")
    up.add_argument("--duration", type=_seconds, metavar="SECONDS", help="end it after that time")
    up.add_argument(
        "--port", action="append", default=[], metavar="PART=PORT", help="where a part listens natively"
    )
    up.set_defaults(command=_up)
    check = commands.add_parser("check", help="check rules, dashboards, runbooks and configurations, offline")
    check.set_defaults(command=_check)
    render = commands.add_parser("render", help="write the generated dashboards, or Kubernetes objects")
    render.add_argument("--check", action="store_true", help="write nothing; say which files differ")
    render.set_defaults(command=_render)
    for command in (up, check, render):
        _add_project(command, None)
    _add_kubernetes(render)
    return parser


def _add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    init = commands.add_parser("init", help="put the whole monitoring stack into a project")
    init.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="default: here")
    init.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="NAME=PORT",
        help="a program to watch and the port of its /metrics; repeat it, the bot first, then the worker",
    )
    init.add_argument("--name", help="the project's name in logs and dashboards; default: the folder's")
    init.add_argument("--no-input", action="store_true", help="ask nothing, also on a terminal")
    init.add_argument("--force", action="store_true", help="replace files that exist; secrets are kept")
    init.add_argument(
        "--secrets", action="store_true", help="make the secrets files that are missing, nothing else"
    )
    init.set_defaults(command=_init)


def _add_kubernetes(render: argparse.ArgumentParser) -> None:
    kinds = render.add_subparsers(metavar="kubernetes")
    kubernetes = kinds.add_parser(
        "kubernetes", help="ServiceMonitors, PrometheusRules, dashboards and runbooks as Kubernetes objects"
    )
    kubernetes.add_argument(
        "--output", type=Path, metavar="FOLDER", help="one file a kind; default: all to stdout"
    )
    kubernetes.add_argument("--namespace", metavar="NAME", help="default: that of kubectl")
    kubernetes.add_argument(
        "--label",
        action="append",
        type=_pair,
        default=[],
        metavar="KEY=VALUE",
        help="on every object, such as release=NAME, by which an operator selects",
    )
    kubernetes.add_argument(
        "--grafana-url", default="http://localhost:3000", metavar="URL", help="for the links in alerts"
    )
    kubernetes.set_defaults(command=_kubernetes)
    _add_project(kubernetes, argparse.SUPPRESS)


def _add_project(command: argparse.ArgumentParser, default: str | None) -> None:
    command.add_argument(
        "--project",
        type=_folder,
        default=default,
        metavar="FOLDER",
        help="the folder that holds monitoring/; default: around here",
    )


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _folder(text: str) -> Path:
    path = Path(text)
    if not (path / "monitoring" / "prometheus.yml").is_file():
        raise argparse.ArgumentTypeError(f"{text} holds no monitoring/prometheus.yml")
    return path


def _text() -> Iterator[str]:
    width = max(len(name) for name in CATALOGUE)
    for name in FAMILIES:
        yield f"{name}:"
        for spec in family(name):
            labels = f"{{{','.join(spec.labels)}}} " if spec.labels else ""
            yield f"  {spec.name:<{width}}  {spec.kind:<9}  {labels}{spec.help}"


def _markdown() -> Iterator[str]:
    for name in FAMILIES:
        yield from (
            f"## {name}",
            "",
            "| metric | type | labels | unit | what it says |",
            "|---|---|---|---|---|",
        )
        for spec in family(name):
            labels = " ".join(f"`{label}`" for label in spec.labels)
            yield f"| `{spec.name}` | {spec.kind} | {labels} | {spec.unit} | {spec.help} |"
        yield ""


def _json() -> Iterator[str]:
    yield json.dumps([_described(spec) for spec in CATALOGUE.values()], indent=2)


def _described(spec: MetricSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "type": spec.kind,
        "help": spec.help,
        "labels": list(spec.labels),
        "unit": spec.unit,
        "buckets": list(spec.buckets),
        "family": spec.family,
        "source": spec.source,
    }


_FORMATS: Mapping[str, Callable[[], Iterator[str]]] = {"json": _json, "markdown": _markdown, "text": _text}


def _say(text: str, stream: TextIO | None = None) -> None:
    (stream or sys.stdout).write(text + "\n")


def _say_now(text: str) -> None:
    _say(text)
    sys.stdout.flush()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a call in one line, not after a page of usage; its commands' parsers do, too."""

    def error(self, message: str) -> NoReturn:
        """End the program with the one line."""
        _say(f"{self.prog}: {message}; {self.prog} --help shows what is possible", sys.stderr)
        sys.exit(CANNOT)


def _complain(error: BotmetryError) -> int:
    _say(f"botmetry: {error}", sys.stderr)
    return CANNOT


if __name__ == "__main__":
    sys.exit(main())
