"""Loopback ports: is one taken, and which one is free and stays so."""

import random
import socket
from pathlib import Path

__all__ = ["free_port", "is_taken"]

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000  # below live the ports that people and distributions assign
_ATTEMPTS = 200


def is_taken(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether somebody listens on `port` (or it cannot be bound for another reason)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the servers do: TIME_WAIT is no obstacle
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def free_port(host: str = "127.0.0.1") -> int:
    """Return a free port *below* the range from which the kernel takes the local ends of outgoing connections.

    A server that is stopped and started again needs its port a second time. Were it an ephemeral one, a client that
    keeps trying to reconnect would sooner or later be given it as its own local end, connect to itself, and the
    server could not come back.
    """
    below = _ephemeral_start()
    for _ in range(_ATTEMPTS):
        port = random.randrange(_LOWEST, below)  # noqa: S311 - spread, not secrecy
        if not is_taken(port, host):
            return port
    raise OSError(f"no free port between {_LOWEST} and {below - 1} after {_ATTEMPTS} attempts")


def _ephemeral_start() -> int:
    try:
        start = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        start = 32_768  # Linux' default
    return start if start > _LOWEST + 1_000 else 65_536
