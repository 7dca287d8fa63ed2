"""Run the local internet as a process: `python -m midas.demo.internet --port 8081 --seed 1 --token 1:demo`.

The first line on the standard output is a JSON object with the address; every later line is one, too.
"""

import argparse
import asyncio
import errno
import json
import logging
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from midas.demo.internet.server import HOST, InternetOptions, serve_internet

WRONG_CALL = 2
FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    _log_as_json()
    try:
        options = _read_options(arguments)
    except ValueError as error:
        print(f"midas.demo.internet: {error}", file=sys.stderr)  # noqa: T201 - a command's error line
        return WRONG_CALL
    try:
        asyncio.run(_serve(options))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is taken; choose another with --port" if taken else f"cannot be used: {error}"
        print(f"midas.demo.internet: port {options.port} on {HOST} {reason}", file=sys.stderr)  # noqa: T201 - as above
        return FAILED
    return 0


async def _serve(options: InternetOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve_internet(options) as internet:
        _say(level="info", event="internet.started", message=f"listening on {internet.url}", url=internet.url)
        await stop.wait()
        _say(level="info", event="internet.stopped", message="stopped", **internet.control.stats())


def _read_options(arguments: Sequence[str] | None) -> InternetOptions:
    parser = argparse.ArgumentParser(prog="python -m midas.demo.internet", description=__doc__)
    parser.add_argument(
        "--port", type=int, required=True, help="TCP port on the loopback; 0 takes a free one"
    )
    parser.add_argument("--token", required=True, help="the bot's token; any other is refused")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same people (default 1)")
    parser.add_argument(
        "--users", type=int, default=150, help="regulars at the start, 0 for nobody (default 150)"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="how fast the people live (default 1.0)")
    parser.add_argument(
        "--api-key", default="", help="the language model's key (default: any that is not empty)"
    )
    return InternetOptions(**vars(parser.parse_args(arguments)))


class _JsonLines(logging.Formatter):
    """Log records in the form that the demonstration's other processes write."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"logger": record.name}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return _line(
            level=record.levelname.lower(), event="log.recorded", message=record.getMessage(), **fields
        )


def _log_as_json() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _say(**fields: object) -> None:
    print(_line(**fields), flush=True)  # noqa: T201 - this is the process's log


def _line(**fields: object) -> str:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"timestamp": moment, "service": "midas-internet", **fields})


if __name__ == "__main__":
    sys.exit(main())
