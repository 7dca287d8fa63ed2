"""A project that is not midas gets the stack: as monitoring/README.md tells it, and with every way to call it wrong."""

import io
import json
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from botmetry import cli
from botmetry.errors import StackError
from botmetry.stack.check import check_stack
from botmetry.stack.files import StackFiles, shipped
from botmetry.stack.init import initialise
from botmetry.stack.services import Service

from .ports import free_ports
from .waiting import wait_for

_DEADLINE_SECONDS = 60.0
_FIVE_MINUTES_SECONDS = 300.0
# Some rules are evaluated once a minute, at any moment of it.
_RUNS_SECONDS = 240.0
_PARTS = ("prometheus", "alertmanager", "loki", "promtail", "alloy", "grafana")
_BIN = Path(sys.executable).parent
_ENVIRON = {**os.environ, "PATH": f"{_BIN}:{os.environ['PATH']}"}


def test_five_minutes(files: StackFiles, tmp_path: Path, program: Callable[[str], str]) -> None:
    """Following the README to the letter, a bot of twenty lines gets metrics, alerts, logs and a clean check."""
    program("prometheus")
    began = time.monotonic()
    ports = free_ports(2 + len(_PARTS))
    section = _section(files).replace("8000", str(ports[0])).replace("8080", str(ports[1]))
    (install, init), (bot, order, up) = (block.splitlines() for block in _blocks(section, "sh"))
    (source,) = _blocks(section, "python")
    assert install.startswith("pip install 'botmetry[stack]'")
    assert len([line for line in source.splitlines() if line]) <= 24

    assert _shell(init, tmp_path).returncode == 0
    (tmp_path / "shop_bot.py").write_text(source, "utf-8")
    assert bot.endswith(" &")
    places = " ".join(f"--port {part}={port}" for part, port in zip(_PARTS, ports[2:], strict=True))
    prometheus = f"http://127.0.0.1:{ports[2]}"
    with _running(bot.removesuffix(" &"), tmp_path):
        wait_for(lambda: _listens(ports[1]))
        assert _shell(order, tmp_path).stdout == "Thank you!"
        with _running(f"{up} --native --duration {_RUNS_SECONDS:.0f} {places}", tmp_path) as stack:
            target = wait_for(lambda: _target(prometheus, "shop-bot"))
            assert target["scrapeUrl"] == f"http://127.0.0.1:{ports[0]}/metrics"
            (orders,) = wait_for(lambda: _query(prometheus, 'shop_orders_total{band="small"}'))
            assert (orders["metric"]["service"], orders["value"][1]) == ("shop-bot", "1")
            rules = wait_for(lambda: _evaluated(prometheus))
            assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
            assert {"TargetDown", "BotHighErrorRate"} <= {rule["name"] for rule in rules}
            said = _stopped(stack)
    assert f"shop-bot      http://127.0.0.1:{ports[0]}/metrics  is up" in said
    assert said.endswith("All of it has ended.\n")
    assert time.monotonic() - began < _FIVE_MINUTES_SECONDS

    (folder,) = re.findall(r"logs +(\S+)/\*\.jsonl", said)
    promtail = yaml.safe_load((tmp_path / "monitoring" / "promtail-config.yml").read_text("utf-8"))
    (read,) = (
        config["static_configs"][0]["labels"]
        for config in promtail["scrape_configs"]
        if config["job_name"] == "structured"
    )
    assert read["job"] == "shop"
    (written,) = Path("/").glob(re.sub(r"\$\{LOG_DIR[^}]*\}", folder, read["__path__"]).lstrip("/"))
    lines = [json.loads(line) for line in written.read_text("utf-8").splitlines()]
    (line,) = (line for line in lines if line["event"] == "order.taken")
    assert (line["service"], line["command"], line["band"]) == ("shop-bot", "order", "small")

    (declared,) = _blocks(section, "yaml")
    (tmp_path / "monitoring" / "metrics.yml").write_text(declared, "utf-8")
    assert "botmetry-own.json" in _shell("botmetry render", tmp_path).stdout
    checked = _shell("botmetry check", tmp_path)
    assert (checked.returncode, checked.stdout) == (
        0,
        "The stack agrees with the catalogue and with itself.\n",
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_names_are_the_projects(tmp_path: Path, program: Callable[[str], str], count: int) -> None:
    """Nothing of midas is left; each service is scraped and missed; Prometheus takes the files, their tests pass."""
    services = [Service(f"shop-{name}", 8100 + number) for number, name in enumerate(("bot", "jobs", "api"))]
    initialise(tmp_path, services[:count], project="shop")
    texts = {path: path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file()}
    assert [str(path) for path, text in texts.items() if "midas" in text.lower()] == []
    jobs = {job["job_name"]: job for job in _yaml(tmp_path / "monitoring/prometheus.yml")["scrape_configs"]}
    assert [name for name in jobs if name.startswith("shop")] == [
        service.name for service in services[:count]
    ]
    for service in services[:count]:
        assert jobs[service.name]["static_configs"] == [
            {"targets": [f"host.docker.internal:{service.port}"], "labels": {"service": service.name}}
        ]
        absent = f'absent(up{{job="{service.name}",service="{service.name}"}})'
        assert absent in texts[tmp_path / "monitoring/alerts.yml"]
        assert absent in texts[tmp_path / "monitoring/runbooks/TargetMissing.md"]
    overview = json.loads(texts[tmp_path / "grafana/dashboards/botmetry-overview.json"])
    assert overview["title"].startswith("Shop ")
    promtool = program("promtool")
    for arguments in (("check", "config", "prometheus.yml"), ("test", "rules", "tests/targets.yml")):
        done = subprocess.run(
            [promtool, *arguments], cwd=tmp_path / "monitoring", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that exists is named, nothing is changed, the exit code is 2; --force replaces it and keeps secrets."""
    mine = tmp_path / "monitoring" / "alerts.yml"
    mine.parent.mkdir()
    mine.write_text("groups: []\n", "utf-8")
    call = ["init", str(tmp_path), "--service", "shop-bot=8000"]
    assert cli.main(call) == 2
    said = capsys.readouterr()
    assert said.out == "monitoring/alerts.yml exists\n"
    assert (
        said.err == "botmetry: 1 of the files exists, nothing was changed; --force replaces what is there\n"
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text("utf-8") == "groups: []\n"

    assert cli.main([*call, "--force"]) == 0
    assert "BotHighErrorRate" in mine.read_text("utf-8")
    secrets = tmp_path / "monitoring" / "secrets"
    (secrets / "telegram_bot_token").write_text("1:mine", "utf-8")
    before = {path.name: path.read_text("utf-8") for path in secrets.iterdir()}
    assert cli.main(call) == 2
    assert cli.main([*call, "--force"]) == 0
    assert {path.name: path.read_text("utf-8") for path in secrets.iterdir()} == before


def test_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Passwords are random, their place is said and not their value, nobody else may enter, git does not see them."""
    passwords = set()
    for name in ("one", "two"):
        assert cli.main(["init", str(tmp_path / name), "--service", "shop-bot=8000"]) == 0
        folder = tmp_path / name / "monitoring" / "secrets"
        text = (folder / "grafana_admin_password").read_text("utf-8")
        said = capsys.readouterr()
        assert "monitoring/secrets/grafana_admin_password" in said.out
        assert text not in said.out + said.err
        assert len(text) >= 32
        passwords |= {text, (folder / "postgres_exporter_password").read_text("utf-8")}
        assert folder.stat().st_mode & 0o777 == 0o700
        files = [path for path in folder.iterdir() if path.name != ".gitignore"]
        assert {path.stat().st_mode & 0o777 for path in files} == {0o644}
        compose = _yaml(tmp_path / name / "docker-compose.monitoring.yml")
        assert {path.name for path in files} >= compose["secrets"].keys()
        assert (folder / "telegram_bot_token").read_text("utf-8") == ""
    assert len(passwords) == 4
    subprocess.run(["git", "init", "-q", str(tmp_path / "one")], check=True)
    (tmp_path / "one" / "logs" / "shop-bot.jsonl").touch()
    listed = subprocess.run(
        ["git", "-C", str(tmp_path / "one"), "ls-files", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert [name for name in listed if name.startswith(("monitoring/secrets/", "logs/"))] == [
        "logs/.gitignore",
        "monitoring/secrets/.gitignore",
    ]


def test_missing_secrets_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a clone, `init --secrets` makes the files that git does not carry, and touches nothing else."""
    initialise(tmp_path, [Service("shop-bot", 8000)], project="shop")
    secret = tmp_path / "monitoring" / "secrets" / "grafana_admin_password"
    others = {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path != secret
    }
    secret.unlink()
    assert cli.main(["init", str(tmp_path), "--secrets"]) == 0
    assert capsys.readouterr().out == "monitoring/secrets/grafana_admin_password\n"
    assert len(secret.read_text("utf-8")) >= 32
    assert {path: path.stat().st_mtime_ns for path in others} == others


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no service to watch; say --service NAME=PORT"),
        (["--no-input"], "no service to watch"),
        (["--service", "shop-bot"], "'shop-bot' is not NAME=PORT"),
        (["--service", "Shop Bot=8000"], "'Shop Bot' cannot be a service's name"),
        (["--service", "shop-bot=http"], "'http' is not a port"),
        (["--service", "shop-bot=65536"], "'65536' is not a port"),
        (["--service", "prometheus=8000"], "prometheus is a part of the stack itself"),
        (["--service", "a=8000", "--service", "a=8001"], "service a is given twice"),
        (["--service", "a=8000", "--service", "b=8000"], "port 8000 of b is the port of a"),
        (["--service", "a=9090"], "port 9090 of a is the port of Prometheus"),
        (["--service", "a=8000", "--name", "My Shop"], "'My Shop' cannot be a project's name"),
        (["--secrets"], "has no docker-compose.monitoring.yml; run `botmetry init` there first"),
    ],
)
def test_wrong_calls(
    tmp_path: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong call is one clear line and exit code 2, and leaves nothing behind."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert cli.main(["init", str(tmp_path / "new"), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file where the project's folder should be is one clear line."""
    (tmp_path / "file").touch()
    assert cli.main(["init", str(tmp_path / "file"), "--service", "shop-bot=8000"]) == 2
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_questions_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal it asks, again after an answer that cannot be, and takes what it offers for an empty one."""
    answers = ["", "9090", "", "8000", "shop-jobs", "", ""]
    said, code = _on_a_terminal(["init", str(tmp_path / "shop")], answers)
    assert code == 0, said
    assert "Name of the service to watch [shop-bot]: " in said
    assert "port 9090 of shop-bot is the port of Prometheus" in said
    assert "Port of its /metrics [8001]: " in said
    jobs = [job["job_name"] for job in _yaml(tmp_path / "shop/monitoring/prometheus.yml")["scrape_configs"]]
    assert jobs[:2] == ["shop-bot", "shop-jobs"]


def test_questions_that_are_not_answered(tmp_path: Path) -> None:
    """Ctrl-D ends the questions with one line, exit code 2, and nothing written."""
    said, code = _on_a_terminal(["init", str(tmp_path / "shop")], ["\x04"])
    assert code == 2
    assert "the questions were not answered, nothing was changed" in said
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_brings_the_stack(files: StackFiles, tmp_path: Path) -> None:
    """`init` works from a wheel in a fresh environment, and the wheel carries no secret of who built it."""
    secret = files.monitoring / "secrets" / f"probe_{os.getpid()}"
    secret.write_text("must not leave this machine", "utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    try:
        build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(files.root)]
        subprocess.run(build, check=True, capture_output=True)
    finally:
        secret.unlink()
    (wheel,) = tmp_path.glob("botmetry-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if "monitoring/secrets/" in name] == []
    target = tmp_path / "site"
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)], check=True
    )
    libraries = str(Path(yaml.__file__).parents[1])
    code = (
        "import sys; from botmetry.stack.files import shipped; from botmetry.cli import main; "
        "print(shipped()); sys.exit(main(['init', 'shop', '--service', 'shop-bot=8000']))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{target}:{libraries}", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{target}/botmetry/stack/project\n")
    made = {str(path.relative_to(tmp_path / "shop")) for path in (tmp_path / "shop").rglob("*.*")}
    assert {"monitoring/prometheus.yml", "grafana/dashboards/botmetry-overview.json"} <= made
    assert shipped() == files.root


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("- {name: shop_orders, type: counter}", "shop_orders"),
        ("- {name: shop_orders_total, type: meter}", "its type is one of counter, gauge, histogram"),
        ("- {name: shop_orders_total, type: counter, label: [a]}", "has label; a declaration has"),
        ("- {name: bot_requests_total, type: counter}", "bot_requests_total: is declared already"),
        (
            "- {name: shop_orders_total, type: counter, labels: band}",
            "labels is band, not a list such as [band]",
        ),
        ("name: shop_orders_total", "is not a list of declarations"),
        ("- shop_orders_total", "a declaration begins with `name:`"),
        ("[", "expected"),
    ],
)
def test_own_metrics_that_are_declared_wrong(
    tmp_path: Path, declared: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A declaration that cannot be is one line that names the file and what is wrong."""
    initialise(tmp_path, [Service("shop-bot", 8000)], project="shop")
    (tmp_path / "monitoring" / "metrics.yml").write_text(f"metrics:\n  {declared}\n", "utf-8")
    capsys.readouterr()
    assert cli.main(["render", "--check", "--project", str(tmp_path)]) == 2
    captured = capsys.readouterr().err
    assert re.search(r"monitoring/metrics\.yml:[23]: ", captured), captured
    assert captured.count("\n") == 1
    assert said in captured


def test_own_metrics_in_rules(tmp_path: Path) -> None:
    """A rule over a declared metric is checked for its labels; over one that is not declared, it is a problem."""
    initialise(tmp_path, [Service("shop-bot", 8000)], project="shop")
    (tmp_path / "monitoring" / "metrics.yml").write_text(
        "metrics:\n  - {name: shop_orders_total, type: counter, labels: [band]}\n", "utf-8"
    )
    recording = tmp_path / "monitoring" / "recording.yml"
    rule = (
        "      - record: service_{label}:shop_orders:rate5m\n"
        "        expr: sum by (service, {label}) (rate({name}[5m]))\n"
    )
    text = recording.read_text("utf-8").rstrip("\n") + "\n\n  - name: shop\n    rules:\n"
    found = {}
    for name, label in (
        ("shop_orders_total", "band"),
        ("shop_orders_total", "bant"),
        ("shop_order_total", "band"),
    ):
        recording.write_text(text + rule.format(name=name, label=label), "utf-8")
        problems = check_stack(StackFiles(tmp_path), programs=False).problems
        found[name, label] = [
            problem.message for problem in problems if "shop_orders:rate5m" in problem.message
        ]
    right, label, name = found.values()
    assert right == []
    assert "no such label" in label[0]
    assert "emitted by nobody" in name[0]


def test_two_wrong_services() -> None:
    """The function that init calls refuses what the flags refuse."""
    with pytest.raises(StackError, match="service a is given twice"):
        initialise(Path("/nowhere"), [Service("a", 8000), Service("a", 8001)], project="shop")


def _section(files: StackFiles) -> str:
    text = (files.monitoring / "README.md").read_text("utf-8")
    return text.split("## Your own project in five minutes\n")[1].split("\n## ")[0]


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.+?)```", text, re.DOTALL)


def _shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=_ENVIRON,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * _DEADLINE_SECONDS,
    )


@contextmanager
def _running(line: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        shlex.split(f"{_BIN}/{line}"),
        cwd=folder,
        env=_ENVIRON,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _stopped(process: subprocess.Popen[str]) -> str:
    """End it as Ctrl-C does, and return what it said; nothing that it started is left."""
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert [child for child in children if child.is_running()] == []
    return said


def _on_a_terminal(arguments: list[str], answers: list[str]) -> tuple[str, int]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "botmetry.cli", *arguments], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = b""
    try:
        for answer in answers:
            while not said.rstrip(b" ").endswith(b":"):
                said += os.read(ours, 4096)
            said += b"\n"
            os.write(ours, answer.encode() if answer == "\x04" else f"{answer}\n".encode())
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:
        pass  # the other end of a terminal is gone: that is how its end of file is told
    finally:
        os.close(ours)
    return said.decode(), process.wait(timeout=60)


def _target(url: str, service: str) -> dict[str, Any] | None:
    targets = _get(f"{url}/api/v1/targets?state=active")["data"]["activeTargets"]
    found = [target for target in targets if target["labels"]["service"] == service]
    return found[0] if found and found[0]["health"] == "up" else None


def _query(url: str, expr: str) -> list[dict[str, Any]]:
    return _get(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}")["data"]["result"]


def _evaluated(url: str) -> list[dict[str, Any]] | None:
    rules = [rule for group in _get(f"{url}/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
    return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))
