"""`botmetry up`: ready parts, a clean end whatever causes it, one clear line when it cannot be; and in containers."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from botmetry import cli
from botmetry.stack.files import StackFiles
from botmetry.stack.init import initialise
from botmetry.stack.parts import Place, log_folder, native_parts
from botmetry.stack.services import Service, read_watched

from .ports import free_ports

_DEADLINE_SECONDS = 120.0
_PARTS = ("prometheus", "alertmanager", "loki", "promtail", "alloy", "grafana")

# Stands for docker, which no test can have: answers as `docker compose` does, and notes what it was asked.
_DOCKER = """#!/bin/sh
echo "$@" >> {folder}/asked
case "$*" in
  "compose version") exit {compose} ;;
  *" up -d") exit 0 ;;
  *" down") exit 0 ;;
  *" ps "*) cat {folder}/next 2>/dev/null || cat {folder}/first; cp {folder}/second {folder}/next ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    initialise(folder, [Service("shop-bot", 8000)], project="shop")
    return folder


@pytest.fixture
def ports() -> dict[str, int]:
    return dict(zip(_PARTS, free_ports(len(_PARTS)), strict=True))


@pytest.fixture
def up(
    project: Path, ports: dict[str, int], program: Callable[[str], str]
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `botmetry up --native` in the project, with a real Prometheus on a free port."""
    program("prometheus")
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-u", "-m", "botmetry.cli", "up", "--native", *arguments, *_flags(ports)]
        process = subprocess.Popen(
            command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_it_says_what_is_ready_and_ends_after_the_duration(
    up: Callable[..., subprocess.Popen[str]], ports: dict[str, int]
) -> None:
    """Each part is named with its address and its time; what is missing, with the command; then all of it ends."""
    said, _ = up("--duration", "1").communicate(timeout=_DEADLINE_SECONDS)
    assert re.search(rf"prometheus +http://127\.0\.0\.1:{ports['prometheus']} +ready in \d+\.\d s\n", said)
    assert said.endswith("All of it has ended.\n")
    for part, command in re.findall(r"(\w+) +not installed; run: (.+)", said):
        assert part in {"alertmanager", "loki", "agent", "grafana"}
        assert command.startswith(
            ("apt-get install ", "docker compose -f docker-compose.monitoring.yml up -d ")
        )
    assert not _listens(ports["prometheus"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_of_it(up: Callable[..., subprocess.Popen[str]], number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal end every child in good order; the exit code is 0."""
    process = up()
    children = _children(process)
    process.send_signal(number)
    said, _ = process.communicate(timeout=_DEADLINE_SECONDS)
    assert process.returncode == 0, said
    assert said.endswith("All of it has ended.\n")
    assert [child for child in children if child.is_running()] == []


def test_a_killed_supervisor_leaves_nothing_behind(up: Callable[..., subprocess.Popen[str]]) -> None:
    """After kill -9 of `botmetry up` the kernel ends its children."""
    process = up()
    children = _children(process)
    process.kill()
    gone, alive = psutil.wait_procs(children, timeout=_DEADLINE_SECONDS)
    assert (len(gone), alive) == (len(children), [])


def test_a_taken_port(up: Callable[..., subprocess.Popen[str]], ports: dict[str, int]) -> None:
    """A port that somebody has is one clear line and exit code 2; nothing was started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports["prometheus"]))
        taken.listen()
        process = up()
        said, _ = process.communicate(timeout=_DEADLINE_SECONDS)
    assert process.returncode == 2
    assert said == (
        f"botmetry: port {ports['prometheus']} of prometheus is taken (Address already in use): stop what listens "
        "there, or choose another with --port prometheus=PORT\n"
    )


def test_a_part_that_ends_by_itself(
    up: Callable[..., subprocess.Popen[str]], project: Path, ports: dict[str, int]
) -> None:
    """A program that gives up ends all of it, with exit code 2 and its last words."""
    (project / "monitoring" / "recording.yml").write_text(
        "groups: [{name: a, rules: [{record: b}]}]\n", "utf-8"
    )
    process = up()
    said, _ = process.communicate(timeout=_DEADLINE_SECONDS)
    assert process.returncode == 2
    assert "botmetry: prometheus ended with exit code " in said.splitlines()[-1]
    assert str(project / ".botmetry" / "prometheus.log") in said
    assert not _listens(ports["prometheus"])


def test_the_data_stays_out_of_git(up: Callable[..., subprocess.Popen[str]], project: Path) -> None:
    """What the programs keep lies in a folder that ignores itself and that only its owner may enter."""
    up("--duration", "0.1").communicate(timeout=_DEADLINE_SECONDS)
    folder = project / ".botmetry"
    assert (folder / ".gitignore").read_text("utf-8") == "*\n"
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "shop=9090"], "'shop=9090' is not PART=PORT; the parts are prometheus, alertmanager"),
        (["--port", "loki=x"], "'x' is not a port"),
        (
            ["--native", "--port", "loki=9090", "--project", "."],
            "prometheus is not on the PATH; run: apt-get install",
        ),
        (["--docker"], "docker is not on the PATH"),
        (
            [],
            "docker is not on the PATH; install Docker with its compose plugin, or: apt-get install prometheus",
        ),
    ],
)
def test_wrong_calls(
    project: Path,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What cannot be is one clear line that says what to do, and exit code 2."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli.main(["up", *arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    "arguments", [["--native", "--docker"], ["--duration", "soon"], ["--duration", "-1"]]
)
def test_options_that_exclude_each_other(arguments: list[str]) -> None:
    """Options that cannot be are refused with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["up", *arguments])
    assert ended.value.code == 2


def test_a_folder_without_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is no stack, it says how to get one, and does not run the stack of botmetry's own source tree."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["up"]) == 2
    assert capsys.readouterr().err.endswith("have no monitoring/prometheus.yml; run: botmetry init\n")


def test_what_is_watched(project: Path) -> None:
    """Jobs and files in targets/ are watched natively at the addresses that containers reach through the host."""
    addresses = '["host.docker.internal:8020", "10.0.0.7:8020"]'
    (project / "monitoring" / "targets" / "jobs.yml").write_text(
        f"- targets: {addresses}\n  labels: {{job: shop-jobs, service: shop}}\n", "utf-8"
    )
    bot, jobs = read_watched(StackFiles(project))
    assert (bot.job, bot.service, bot.addresses) == ("shop-bot", "shop-bot", ("127.0.0.1:8000",))
    assert (jobs.job, jobs.service, jobs.addresses) == (
        "shop-jobs",
        "shop",
        ("127.0.0.1:8020", "10.0.0.7:8020"),
    )
    assert jobs.limits == bot.limits
    assert bot.limits["sample_limit"] == 50000


def test_targets_keep_their_labels(project: Path, program: Callable[[str], str]) -> None:
    """What targets/ says of job and service, a native Prometheus puts on every sample; one job may have two files."""
    program("prometheus")
    for number in (1, 2):
        (project / "monitoring" / "targets" / f"jobs-{number}.yml").write_text(
            f"- targets: [127.0.0.1:802{number}]\n  labels: {{job: shop-jobs, service: shop}}\n", "utf-8"
        )
    native_parts(Place(StackFiles(project), project / "data", {}))
    rendered = yaml.safe_load((project / "data" / "config" / "prometheus.yml").read_text("utf-8"))
    jobs = {job["job_name"]: job["static_configs"] for job in rendered["scrape_configs"]}
    assert jobs["shop-bot"] == [{"targets": ["127.0.0.1:8000"], "labels": {"service": "shop-bot"}}]
    assert jobs["shop-jobs"] == [
        {"targets": ["127.0.0.1:8021", "127.0.0.1:8022"], "labels": {"service": "shop"}}
    ]


def test_the_log_folder_is_that_of_the_containers(project: Path) -> None:
    """Natively the agents read where the compose file mounts from, and the same variable moves both."""
    files = StackFiles(project)
    assert log_folder(files, {}) == project / "logs"
    assert log_folder(files, {"BOTMETRY_LOG_DIR": "/srv/logs"}) == Path("/srv/logs")
    assert "${BOTMETRY_LOG_DIR:-./logs}" in files.compose.read_text("utf-8")


@pytest.mark.parametrize("layout", ["lines", "array"])
def test_containers_are_awaited(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    layout: str,
) -> None:
    """With Docker the compose file is started and each container named once it is healthy; --duration ends them."""
    _docker(tmp_path, monkeypatch, layout, "starting", "healthy")
    monkeypatch.chdir(project)
    assert cli.main(["up", "--docker"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"prometheus +http://127\.0\.0\.1:9090 +healthy in \d+\.\d s\n", said)
    assert said.endswith("This ends it: docker compose -f docker-compose.monitoring.yml down\n")
    assert cli.main(["up", "--docker", "--duration", "0.1"]) == 0
    assert capsys.readouterr().out.endswith("All of it has ended.\n")
    asked = (tmp_path / "asked").read_text("utf-8").splitlines()
    compose = "compose -f docker-compose.monitoring.yml"
    assert asked[:2] == ["compose version", f"{compose} up -d"]
    assert asked[-1] == f"{compose} down"


def test_a_container_that_ended(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A container that gave up is one line with the command that shows why."""
    _docker(tmp_path, monkeypatch, "lines", "starting", "exited")
    monkeypatch.chdir(project)
    assert cli.main(["up", "--docker"]) == 2
    assert "prometheus has ended; see: docker compose -f docker-compose.monitoring.yml logs prometheus" in (
        capsys.readouterr().err
    )


def test_docker_without_compose_or_secrets(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing plugin or secret is said before anything is started."""
    monkeypatch.chdir(project)
    _docker(tmp_path, monkeypatch, "lines", "healthy", "healthy", compose=1)
    assert cli.main(["up", "--docker"]) == 2
    assert "docker has no compose plugin; run: apt-get install" in capsys.readouterr().err
    _docker(tmp_path, monkeypatch, "lines", "healthy", "healthy")
    (project / "monitoring" / "secrets" / "smtp_password").unlink()
    assert cli.main(["up", "--docker"]) == 2
    assert "secrets are missing (smtp_password); run `botmetry init --secrets`" in capsys.readouterr().err
    assert " up -d" not in (tmp_path / "asked").read_text("utf-8")


def _docker(
    folder: Path, monkeypatch: pytest.MonkeyPatch, layout: str, *states: str, compose: int = 0
) -> None:
    for name, state in zip(("first", "second"), states, strict=True):
        entry = {
            "Service": "prometheus",
            "State": "exited" if state == "exited" else "running",
            "Health": "" if state == "exited" else state,
            "Publishers": [{"PublishedPort": 0}, {"PublishedPort": 9090}],
        }
        (folder / name).write_text(json.dumps([entry] if layout == "array" else entry) + "\n", "utf-8")
    program = folder / "bin" / "docker"
    program.parent.mkdir(exist_ok=True)
    program.write_text(_DOCKER.format(folder=folder, compose=compose), "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def _flags(ports: dict[str, int]) -> list[str]:
    return [argument for part, port in ports.items() for argument in ("--port", f"{part}={port}")]


def _children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return its children, once the first part is ready."""
    assert process.stdout is not None
    for line in process.stdout:
        if "ready in" in line:
            return psutil.Process(process.pid).children(recursive=True)
    pytest.fail("it ended before a part was ready")


def _listens(port: int) -> bool:
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
    return True
