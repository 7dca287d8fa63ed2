"""Ports are checked before anything starts, so that a taken one is one clear line and not a half-started demo."""

import psutil

from midas.demo.errors import PortTaken
from midas.demo.options import DemoOptions
from midas.demo.ports import is_taken

__all__ = ["check_ports"]


def check_ports(options: DemoOptions, *, optional: frozenset[str]) -> None:
    """Check that nobody listens where the demo will.

    Args:
        options: Where it will.
        optional: The parts besides bot and workers that will really be started, such as ``prometheus``.

    Raises:
        PortTaken: Somebody does; names the port, the process if it can be seen, and the variable that chooses another.
    """
    ports = options.ports
    wanted = [(ports.bot, "the bot's metrics", "BOT_METRICS_PORT")]
    wanted += [
        (ports.worker + number, f"the metrics of worker {number + 1}", "WORKER_METRICS_PORT")
        for number in range(options.workers)
    ]
    wanted += [
        (getattr(ports, part), part.capitalize(), f"{part.upper()}_PORT")
        for part in ("prometheus", "alertmanager", "grafana", "loki")
        if part in optional
    ]
    seen: dict[int, str] = {}
    for port, part, variable in wanted:
        if port in seen:
            raise PortTaken(
                port, part, f"it is also the port of {seen[port]}; choose another with {variable}=…"
            )
        seen[port] = part
        if is_taken(port):
            raise PortTaken(port, part, f"{_stop_whom(port)} or choose another with {variable}=…")


def _stop_whom(port: int) -> str:
    """Return "stop nginx (pid 17)", or a vaguer advice when we may not see whose port it is."""
    try:
        listening = [entry for entry in psutil.net_connections("tcp") if entry.status == psutil.CONN_LISTEN]
        pid = next((entry.pid for entry in listening if entry.laddr[1:2] == (port,) and entry.pid), None)
        return f"stop {_called(psutil.Process(pid))} (pid {pid})" if pid else "stop what listens there"
    except (psutil.Error, OSError):
        return "stop what listens there"


def _called(process: psutil.Process) -> str:
    """Return a program's name; of Python, whose name says nothing, also what it runs, without its arguments."""
    name, words = process.name(), process.cmdline()[1:]
    if not name.startswith("python"):
        return name
    if "-m" in words[:-1]:
        return f"{name} -m {words[words.index('-m') + 1]}"
    script = next((word for word in words if word.endswith(".py")), "")
    return f"{name} {script}".rstrip()
