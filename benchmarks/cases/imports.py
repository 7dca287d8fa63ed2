"""What an import adds to the start of an interpreter."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter

REPEATS = 5


def _start(statement: str) -> float:
    costs = []
    for _ in range(REPEATS):
        start = perf_counter()
        subprocess.run([sys.executable, "-I", "-c", statement], check=True)
        costs.append(perf_counter() - start)
    return min(costs) * 1e3


def _cost(statement: str) -> float:
    return _start(statement) - _start("pass")


def botmetry() -> float:
    """`import botmetry`."""
    return _cost("import botmetry")


def telemetry() -> float:
    """`from botmetry import Telemetry`: all that a program needs."""
    return _cost("from botmetry import Telemetry")


def prometheus_client() -> float:
    """`import prometheus_client`."""
    return _cost("import prometheus_client")
