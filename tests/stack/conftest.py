import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def composed(files: StackFiles, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Any] | None:
    """What Docker Compose makes of one of the project's files, with every profile; None without Docker Compose."""
    command = _compose()
    if command is None:
        return None
    root = tmp_path_factory.mktemp("compose")
    for folder in ("monitoring", "grafana"):
        shutil.copytree(files.root / folder, root / folder, ignore=shutil.ignore_patterns("secrets"))
    (root / "monitoring" / "secrets").mkdir(exist_ok=True)
    (root / "monitoring" / "secrets" / "garage.env").write_text("GARAGE_DEFAULT_ACCESS_KEY=GK0\n", "utf-8")
    for path in files.root.glob("docker-compose.*.yml"):
        shutil.copy(path, root)

    def config(path: Path) -> Any:
        call = [*command, "-f", path.name, "--profile", "*", "config", "--format", "json"]
        done = subprocess.run(call, cwd=root, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return config


def _compose() -> list[str] | None:
    """Return how Docker Compose is called here: as Docker's plugin, or as a program of its own."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, timeout=30, check=False)
            if done.returncode == 0:
                return command
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for variable, what in (
        ("LOKI_URL", "queries on a real Loki"),
        ("GRAFANA_URL", "dashboards and data sources in a real Grafana"),
        ("TEMPO_URL", "traces in a real Tempo"),
    ):
        if not os.environ.get(variable):
            terminalreporter.write_line(f"tests/stack: {what} did not run; set {variable} to run them")
    if _compose() is None:
        terminalreporter.write_line(
            "tests/stack: `docker compose config` did not run; install Docker Compose to run it"
        )
