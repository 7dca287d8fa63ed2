"""Alertmanager: the right people, once, and nothing that another alert already says."""

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from botmetry.errors import StackError
from botmetry.stack.alertmanager import render_alertmanager
from botmetry.stack.checks.programs import check_with_amtool
from botmetry.stack.files import StackFiles
from botmetry.stack.native import alertmanager_command, render_native

from .ports import free_ports
from .waiting import wait_for

SECRETS = {
    "telegram_bot_token": "123456:in-a-test",
    "telegram_chat_id": "-1001234567890",
    "smtp_password": "in a test",
    "alert_webhook_url": "http://127.0.0.1:9/alerts",
    "deadman_webhook_url": "http://127.0.0.1:9/alive",
}

ROUTES = {
    ("Watchdog", "info", "prometheus", "monitoring"): "deadman",
    ("BotHighErrorRate", "critical", "midas-bot", "bot"): "page",
    ("QueueBacklog", "warning", "midas-worker", "queue"): "ticket",
    ("TargetDown", "critical", "loki", "target"): "operators",
    ("AlertmanagerNotificationsFailing", "critical", "alertmanager", "monitoring"): "operators",
    ("Anything", "info", "shop-bot", "shop"): "journal",
    ("Anything", "none", "shop-bot", "shop"): "ticket",
}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, text in SECRETS.items():
        (folder / name).write_text(text + "\n", "utf-8")
    return folder


@pytest.fixture
def config(files: StackFiles, tmp_path: Path, secrets: Path) -> Path:
    return render_native(tmp_path / "stack", targets={}, secrets=secrets, files=files).alertmanager_config


def test_amtool_accepts_the_rendered_configuration(files: StackFiles, program: Callable[[str], str]) -> None:
    """With every secret in place the configuration and its templates are valid for the installed version."""
    program("amtool")
    assert [str(problem) for problem in check_with_amtool(files)] == []


def test_a_configuration_without_secrets_is_valid_too(
    files: StackFiles, tmp_path: Path, program: Callable[[str], str]
) -> None:
    """Without any secret, receivers are empty and the configuration still starts."""
    rendered = render_native(tmp_path, targets={}, files=files).alertmanager_config
    done = subprocess.run(
        [program("amtool"), "check-config", str(rendered)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    receivers = yaml.safe_load(rendered.read_text("utf-8"))["receivers"]
    assert all(list(receiver) == ["name"] for receiver in receivers)


@pytest.mark.parametrize("labels", ROUTES)
def test_routes(config: Path, program: Callable[[str], str], labels: tuple[str, ...]) -> None:
    """Each kind of alert goes to exactly the receiver meant for it."""
    pairs = [
        f"{key}={value}"
        for key, value in zip(("alertname", "severity", "service", "component"), labels, strict=True)
    ]
    command = [program("amtool"), "config", "routes", "test", f"--config.file={config}", *pairs]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ROUTES[labels]


def test_secrets_are_put_in_and_kept_private(config: Path) -> None:
    """The rendered file holds the secrets' contents, no secret's file name, and only its owner can read it."""
    text = config.read_text("utf-8")
    page = next(receiver for receiver in yaml.safe_load(text)["receivers"] if receiver["name"] == "page")
    assert page["telegram_configs"][0]["bot_token"] == SECRETS["telegram_bot_token"]
    assert page["telegram_configs"][0]["chat_id"] == -1001234567890
    assert "/run/secrets" not in text
    assert config.stat().st_mode & 0o777 == 0o600


def test_the_repositorys_file_holds_no_secret(files: StackFiles) -> None:
    """What containers mount names files for every token, password and webhook address."""
    document = yaml.safe_load(files.alertmanager.read_text("utf-8"))
    entries = [
        entry
        for receiver in document["receivers"]
        for name in receiver
        if name != "name"
        for entry in receiver[name]
    ]
    assert entries
    for key in ("bot_token", "chat_id", "url", "auth_password"):
        assert all(key not in entry for entry in entries)
    assert "smtp_auth_password" not in document["global"]


def test_one_webhook_can_receive_everything(files: StackFiles) -> None:
    """Given one address, every receiver sends there and only there, the Watchdog's included."""
    document = render_alertmanager(files.alertmanager, secrets={}, webhook_url="http://127.0.0.1:1/all")
    for receiver in document["receivers"]:
        assert [hook["url"] for hook in receiver["webhook_configs"]] == ["http://127.0.0.1:1/all"]
        assert not {"telegram_configs", "email_configs"} & receiver.keys()


def test_a_chat_id_that_is_none(files: StackFiles) -> None:
    """A name where the number of a chat belongs is an error that shows a right one."""
    with pytest.raises(StackError, match="'@oncall'; a chat id is a number"):
        render_alertmanager(files.alertmanager, secrets=SECRETS | {"telegram_chat_id": "@oncall"})


INHIBITED = [
    # A process that is down explains its service's warnings, not another's.
    (
        "TargetDown",
        "critical",
        "midas-worker",
        "target",
        ("QueueTasksFailing", "warning", "midas-worker", "queue"),
        True,
    ),
    (
        "TargetDown",
        "critical",
        "midas-worker",
        "target",
        ("QueueBacklog", "warning", "midas-bot", "queue"),
        False,
    ),
    # A critical alert silences warnings about the same part only.
    (
        "BotHighErrorRate",
        "critical",
        "midas-bot",
        "bot",
        ("BotNoActiveUsers", "warning", "midas-bot", "bot"),
        True,
    ),
    (
        "BotHighErrorRate",
        "critical",
        "midas-bot",
        "bot",
        ("DatabaseSlowQueries", "warning", "midas-bot", "database"),
        False,
    ),
    (
        "DatabaseConnectionErrors",
        "critical",
        "midas-bot",
        "database",
        ("DatabaseSlowQueries", "warning", "midas-bot", "database"),
        True,
    ),
    (
        "RedisConnectionErrors",
        "critical",
        "midas-bot",
        "redis",
        ("QueueBacklog", "warning", "midas-bot", "queue"),
        True,
    ),
    (
        "RedisConnectionErrors",
        "critical",
        "midas-bot",
        "redis",
        ("SagaNotTakenUp", "warning", "midas-bot", "saga"),
        True,
    ),
    (
        "BotHighErrorRate",
        "critical",
        "midas-bot",
        "bot",
        ("RedisConnectionErrors", "critical", "midas-bot", "redis"),
        False,
    ),
    # A fast burn silences slower ones, not the alerts that say why.
    (
        "ErrorBudgetBurn1h",
        "critical",
        "midas-bot",
        "service-level",
        ("ErrorBudgetBurn3d", "warning", "midas-bot", "service-level"),
        True,
    ),
    (
        "ErrorBudgetBurn1h",
        "critical",
        "midas-worker",
        "service-level",
        ("QueueBacklog", "warning", "midas-worker", "queue"),
        False,
    ),
    # The Watchdog's silence is an alarm: nothing may silence it.
    (
        "PrometheusRulesFailing",
        "critical",
        "prometheus",
        "monitoring",
        ("Watchdog", "info", "prometheus", "monitoring"),
        False,
    ),
    (
        "TargetDown",
        "critical",
        "prometheus",
        "target",
        ("Watchdog", "info", "prometheus", "monitoring"),
        False,
    ),
]


def test_inhibition(config: Path, tmp_path: Path, program: Callable[[str], str]) -> None:
    """A real Alertmanager holds back what another alert explains, and never the Watchdog."""
    program("prometheus-alertmanager")
    for number, (*source, target, inhibited) in enumerate(INHIBITED):
        with _running(config, tmp_path / str(number)) as url:
            _post(url, [_alert(tuple(source)), _alert(target)])
            # Alertmanager decides on inhibition a moment after it lists an alert.
            wait_for(partial(_has_settled, url, target[0], inhibited))


# A saga that could not be undone is told once, whichever service sees that it stands still; what else stands still
# is another matter.
STANDING_STILL = [
    ({"saga": "purchase", "state": "compensation_failed"}, True),
    ({"saga": "refund", "state": "compensation_failed"}, False),
    ({"saga": "purchase", "state": "suspended"}, False),
]


@pytest.mark.parametrize(("labels", "inhibited"), STANDING_STILL)
def test_a_failed_compensation_is_told_once(
    config: Path, tmp_path: Path, labels: dict[str, str], inhibited: bool
) -> None:
    """While the failed attempt to undo a saga is told, it is not told again by another service that it stands there."""
    with _running(config, tmp_path / "alertmanager") as url:
        failed = _alert(("SagaCompensationFailed", "critical", "midas-worker", "saga"), saga="purchase")
        stands = _alert(("SagaStandsStill", "critical", "midas-bot", "saga"), **labels)
        _post(url, [failed, stands])
        wait_for(partial(_has_settled, url, "SagaStandsStill", inhibited))


def _has_settled(url: str, name: str, inhibited: bool) -> bool:
    found = [alert for alert in _listed(url, 2) or [] if alert["labels"]["alertname"] == name]
    return bool(found) and bool(found[0]["status"]["inhibitedBy"]) is inhibited


@contextmanager
def _running(config: Path, folder: Path) -> Iterator[str]:
    folder.mkdir()
    (port,) = free_ports(1)
    with (folder / "output.log").open("w") as output:
        command = alertmanager_command(config, folder / "data", port)
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: urllib.request.urlopen(f"{url}/-/ready", timeout=30).status == 200)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def _alert(labels: tuple[str, ...], **more: str) -> dict[str, Any]:
    named = zip(("alertname", "severity", "service", "component"), labels, strict=True)
    return {"labels": {**dict(named), **more}}


def _post(url: str, alerts: list[dict[str, Any]]) -> None:
    request = urllib.request.Request(
        f"{url}/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).close()


def _listed(url: str, count: int) -> list[dict[str, Any]] | None:
    with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=30) as answer:
        alerts: list[dict[str, Any]] = json.load(answer)
    processed = [alert for alert in alerts if alert["status"]["state"] != "unprocessed"]
    return processed if len(processed) == count else None
