"""What ``midas saga`` and ``midas queue`` understand; cheap to load, as every command loads it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_STATES: Final = (
    "IDLE",
    "RUNNING",
    "WAITING",
    "COMPENSATING",
    "COMPLETED",
    "FAILED",
    "ABORTED",
    "COMPENSATION_FAILED",
    "SUSPENDED",
)
_MOST_LINES: Final = 10_000


def add_saga_commands(parser: argparse.ArgumentParser) -> None:
    """Add ls, show, resume, skip, resolve and abort; which one it is stands in ``arguments.action``."""
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    ls = actions.add_parser("ls", help="list sagas, the latest change first")
    ls.add_argument("--state", metavar="STATE", type=_state, help=f"only those in it: {', '.join(_STATES)}")
    ls.add_argument("--name", metavar="NAME", help="only this kind of saga")
    _add_limit(ls)
    _add_json(ls)
    _add_saga(actions.add_parser("show", help="show a saga with its steps and its history"))
    _add_saga(actions.add_parser("resume", help="have a saga that stands still try again what failed"))
    skip = _add_saga(actions.add_parser("skip", help="have a saga that stands still go on without a step"))
    skip.add_argument("step", metavar="STEP")
    resolve = _add_saga(actions.add_parser("resolve", help="end a saga that you have put right by hand"))
    resolve.add_argument("--note", metavar="TEXT", default="", help="what you did, for its history")
    abort = _add_saga(actions.add_parser("abort", help="have a saga turn back and undo what it did"))
    abort.add_argument("--reason", metavar="TEXT", default="", help="why, for its history")
    abort.add_argument(
        "--force", action="store_true", help="also where only you know that its pivot did not happen"
    )


def add_queue_commands(parser: argparse.ArgumentParser) -> None:
    """Add ls, show, replay, purge and stats; which one it is stands in ``arguments.action``."""
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    _add_json(actions.add_parser("ls", help="list the queues and how full they are"))
    show = _add_queue(actions.add_parser("show", help="show a queue's dead letters, or one of them whole"))
    show.add_argument("task", metavar="TASK", nargs="?", help="id of a dead letter")
    _add_limit(show)
    for action, help_text in (
        ("replay", "try dead letters again"),
        ("purge", "throw dead letters away"),
    ):
        chosen = _add_queue(actions.add_parser(action, help=help_text))
        chosen.add_argument("tasks", metavar="TASK", nargs="*", help="ids of dead letters")
        chosen.add_argument("--all", action="store_true", help="all of them")
    _add_queue(actions.add_parser("stats", help="say how much is where, and what was done how often"))


def _add_saga(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("saga", metavar="ID", help="as `midas saga ls` shows it")
    _add_json(parser)
    return parser


def _add_queue(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("queue", metavar="QUEUE", help="as `midas queue ls` shows it")
    _add_json(parser)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for a program")


def _add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", metavar="N", type=whole(1, _MOST_LINES), default=50, help="at most so many (default: 50)"
    )


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """Give what reads a whole number in this range, or says what it must be."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = lowest - 1
        if not lowest <= number <= highest:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {lowest} to {highest} and not {text!r}"
            )
        return number

    return read


def _state(text: str) -> str:
    if text.upper() not in _STATES:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(_STATES)} and not {text!r}")
    return text.upper()
