"""What the demo can be told: duration, fault, workers, seed, folder and ports, checked before anything starts."""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from midas.demo.errors import WrongCall
from midas.demo.ports import free_port

__all__ = ["FAULT_NAMES", "DemoOptions", "Ports", "add_arguments", "options_from"]

FAULT_NAMES = ("bot-errors", "low-confidence", "backlog", "slow-ai", "slow-db", "redis-down", "silence")
_MOST_WORKERS = 8  # a worker takes 60 MB; the demo is meant for a laptop
_MOST_SPEED = 100
_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of everything that a person opens; 0 takes a free one.

    Attributes:
        worker: Of the first worker's metrics; the others follow one by one.
    """

    bot: int = 8000
    worker: int = 8001
    prometheus: int = 9090
    alertmanager: int = 9093
    grafana: int = 3000
    loki: int = 3100

    @classmethod
    def free(cls, workers: int) -> "Ports":
        """Return free ones for everything, so that several demos can run at once."""
        first = free_port()
        # The workers' ports are consecutive; the neighbours of a free port nearly always are free, too, and a taken
        # one is an error that names it.
        taken = set(range(first, first + workers))
        others: list[int] = []
        while len(others) < 5:  # noqa: PLR2004 - the five other attributes
            port = free_port()
            if port not in taken:
                taken.add(port)
                others.append(port)
        bot, prometheus, alertmanager, grafana, loki = others
        return cls(bot, first, prometheus, alertmanager, grafana, loki)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """One run of the demo.

    Attributes:
        duration_seconds: After how long it ends by itself, counted from the table of addresses; None for never.
        fault: Which trouble is provoked, one of `FAULT_NAMES`; None for none.
        fault_after_seconds: How long it runs well before the fault begins, so that the difference can be seen; only
            `silence` reigns from the start, since its alert waits until nobody has come for minutes.
        workers: How many worker processes, 1 to 8.
        seed: What the population and its statements are made from.
        speed: How fast the users live; 1 is the normal load.
        data: Folder of logs and databases; None for ``.demo`` here, started afresh each time.
        keep_data: Whether the databases in a chosen folder are kept and used again.
        ports: Where it listens.
    """

    duration_seconds: float | None = None
    fault: str | None = None
    fault_after_seconds: float = 15.0
    workers: int = 2
    seed: int = 1
    speed: float = 1.0
    data: Path | None = None
    keep_data: bool = True
    ports: Ports = field(default_factory=Ports)


# option, attribute of Ports, environment variable, what it is
_PORT_OPTIONS = (
    ("--bot-port", "bot", "BOT_METRICS_PORT", "the bot's metrics"),
    ("--worker-port", "worker", "WORKER_METRICS_PORT", "the first worker's metrics, the others follow"),
    ("--prometheus-port", "prometheus", "PROMETHEUS_PORT", "Prometheus"),
    ("--alertmanager-port", "alertmanager", "ALERTMANAGER_PORT", "Alertmanager"),
    ("--grafana-port", "grafana", "GRAFANA_PORT", "Grafana"),
    ("--loki-port", "loki", "LOKI_PORT", "Loki"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the demo's options; every value is text, so that a Makefile can pass an empty one for "not given"."""
    parser.add_argument(
        "--duration", metavar="SECONDS", default="", help="end by itself after so long (default: at Ctrl-C)"
    )
    parser.add_argument(
        "--fault",
        metavar="NAME",
        default="",
        help=f"provoke a trouble: {', '.join(FAULT_NAMES)}; ? tells of each",
    )
    parser.add_argument(
        "--workers", metavar="N", default="", help=f"worker processes, 1 to {_MOST_WORKERS} (default: 2)"
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        default="",
        help="what the users and their statements are made from (default: 1)",
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        default="",
        help="keep logs and databases there (default: .demo, fresh each time)",
    )
    parser.add_argument("--speed", metavar="FACTOR", default="", help="how fast the users live (default: 1)")
    for option, attribute, variable, what in _PORT_OPTIONS:
        default = getattr(Ports(), attribute)
        parser.add_argument(
            option,
            metavar="PORT",
            default="",
            help=f"{what} (default: {default}; also {variable}); 0 takes a free one",
        )


def options_from(arguments: argparse.Namespace, environ: Mapping[str, str]) -> DemoOptions:
    """Check what was given and return it as options; a port not given is looked up in the environment.

    Raises:
        WrongCall: A value is impossible; the message names the variable, the value and what is possible.
    """
    workers = _whole("WORKERS", arguments.workers, 2, 1, _MOST_WORKERS)
    return DemoOptions(
        duration_seconds=_duration(arguments.duration),
        fault=_fault(arguments.fault),
        workers=workers,
        seed=_whole("SEED", arguments.seed, 1, 0, 2**31 - 1),
        speed=_speed(arguments.speed),
        data=Path(arguments.data).absolute() if arguments.data else None,
        ports=_ports(arguments, environ, workers),
    )


def _ports(arguments: argparse.Namespace, environ: Mapping[str, str], workers: int) -> Ports:
    ports, free = Ports(), Ports.free(workers)
    for option, attribute, variable, _ in _PORT_OPTIONS:
        given = getattr(arguments, option[2:].replace("-", "_")) or environ.get(variable, "").strip()
        port = _whole(variable, given, getattr(ports, attribute), 0, _HIGHEST_PORT)
        ports = replace(ports, **{attribute: port or getattr(free, attribute)})
    return ports


def _duration(text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise WrongCall(f"DURATION must be a number of seconds above 0, such as 60, and not {text!r}")
    return seconds


def _speed(text: str) -> float:
    try:
        speed = float(text or "1")
    except ValueError:
        speed = math.nan
    if not 0 < speed <= _MOST_SPEED:
        raise WrongCall(f"SPEED must be a number above 0 and at most {_MOST_SPEED}, and not {text!r}")
    return speed


def _fault(text: str) -> str | None:
    if text and text not in FAULT_NAMES:
        raise WrongCall(f"there is no FAULT {text!r}: choose one of {', '.join(FAULT_NAMES)}")
    return text or None


def _whole(name: str, text: str, default: int, lowest: int, highest: int) -> int:
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        number = lowest - 1
    if not lowest <= number <= highest:
        raise WrongCall(f"{name} must be a whole number from {lowest} to {highest} and not {text!r}")
    return number
