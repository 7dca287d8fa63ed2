import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from botmetry.stack.files import StackFiles, find_stack

_PARTS = ("monitoring", "grafana", "docker-compose.monitoring.yml")
_DEBIAN = {"promtool": "prometheus", "prometheus": "prometheus", "amtool": "prometheus-alertmanager"}


@pytest.fixture(scope="session")
def files() -> StackFiles:
    return find_stack(Path(__file__))


@pytest.fixture
def copy(files: StackFiles, tmp_path: Path) -> StackFiles:
    """The project's stack in a folder that a test may break."""
    for name in _PARTS:
        source = files.root / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("secrets"))
        else:
            shutil.copy(source, tmp_path / name)
    return StackFiles(tmp_path)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """The path of a program; one that is missing fails the test instead of leaving it out."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            package = _DEBIAN.get(name, name)
            pytest.fail(
                f"{name} is not on the PATH, so this cannot be tested; on Debian: apt install {package}"
            )
        return path

    return find


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for variable, what in (
        ("LOKI_URL", "queries on a real Loki"),
        ("GRAFANA_URL", "dashboards in a real Grafana"),
    ):
        if not os.environ.get(variable):
            terminalreporter.write_line(f"tests/stack: {what} did not run; set {variable} to run them")
