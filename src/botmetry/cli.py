"""The command line: `botmetry metrics | check | render`.

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
from typing import TYPE_CHECKING, TextIO

from botmetry.errors import BotmetryError, MissingExtraError
from botmetry.metrics import CATALOGUE, FAMILIES, MetricSpec, family

if TYPE_CHECKING:
    from botmetry.stack.files import StackFiles

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


def _check(arguments: argparse.Namespace) -> int:
    from botmetry.stack.check import check_stack  # noqa: PLC0415 - `botmetry metrics` needs none of its libraries

    files = _files(arguments)
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

    files = _files(arguments)
    if not arguments.check:
        for path in write(files):
            _say(files.relative(path))
        return OK
    different = stale(files)
    for path in different:
        _say(f"{files.relative(path)}:1: differs from what is generated; run `botmetry render`")
    return WRONG if different else OK


def _files(arguments: argparse.Namespace) -> StackFiles:
    from botmetry.stack.files import find_stack  # noqa: PLC0415 - see _check

    return find_stack(arguments.project)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="botmetry", description="The metric catalogue, and the monitoring stack that understands it."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    metrics = commands.add_parser("metrics", help="print every metric that botmetry emits")
    metrics.add_argument("--format", choices=sorted(_FORMATS), default="text", help="default: text")
    metrics.set_defaults(command=_metrics)
    check = commands.add_parser("check", help="check rules, dashboards, runbooks and configurations, offline")
    check.set_defaults(command=_check)
    render = commands.add_parser("render", help="write the generated dashboards")
    render.add_argument("--check", action="store_true", help="write nothing; say which files differ")
    render.set_defaults(command=_render)
    for command in (check, render):
        command.add_argument(
            "--project",
            type=_folder,
            metavar="FOLDER",
            help="the folder that holds monitoring/; default: around here",
        )
    return parser


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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _complain(error: BotmetryError) -> int:
    _say(f"botmetry: {error}", sys.stderr)
    return CANNOT


if __name__ == "__main__":
    sys.exit(main())
