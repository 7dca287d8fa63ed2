"""What Alertmanager sends to people's phones: read at night, so it has to arrive and to say enough."""

import json
import re
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from botmetry.stack.alertmanager import render_alertmanager
from botmetry.stack.files import StackFiles
from botmetry.stack.native import alertmanager_command
from botmetry.stack.pace import Pace

from .ports import free_ports
from .waiting import wait_for

SECRETS = {"telegram_bot_token": "123456:in-a-test", "telegram_chat_id": "-1001234567890"}
# https://core.telegram.org/bots/api#sendmessage; Alertmanager 0.25 cuts at this length, wherever a tag begins or ends,
# and Telegram refuses a message whose tags are not closed; later ones send a sentence about the limit in its place.
LIMIT_CHARACTERS = 4096
MANY = 40
LONG_NAME = "payments-and-refunds-of-the-european-shops-{:02}"
TAG = re.compile(r"<(/?)(\w+)[^>]*>")


class Telegram:
    """A server that speaks as much of the Bot API as Alertmanager asks for, and keeps what it was told to send."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        keep = self.sent.append

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                keep(asked["text"])
                answer = json.dumps(
                    {"ok": True, "result": {"message_id": 1, "chat": {"id": 1}, "date": 0}}
                ).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    server = Telegram()
    yield server
    server.close()


@pytest.fixture
def alertmanager(files: StackFiles, tmp_path: Path, telegram: Telegram, program: Any) -> Iterator[str]:
    """The address of a real Alertmanager that sends to our Telegram."""
    program("prometheus-alertmanager")
    document = render_alertmanager(files.alertmanager, secrets=SECRETS, pace=Pace(hold="1s"))
    document["global"]["telegram_api_url"] = telegram.url
    config = tmp_path / "alertmanager.yml"
    config.write_text(yaml.safe_dump(document), "utf-8")
    (port,) = free_ports(1)
    with (tmp_path / "output.log").open("w") as output:
        process = subprocess.Popen(
            alertmanager_command(config, tmp_path / "data", port), stdout=output, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: urllib.request.urlopen(f"{url}/-/ready", timeout=30).status == 200)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_a_flood_of_one_alert_is_one_message_that_arrives(alertmanager: str, telegram: Telegram) -> None:
    """Forty queues that pile up give one message that Telegram takes: short, its tags closed, with their number."""
    _post(alertmanager, [_backlog(number) for number in range(MANY)])
    # On a busy machine not all of them have come in when the first message goes.
    wait_for(lambda: any(f"{MANY} in all" in text for text in telegram.sent))
    assert max(map(len, telegram.sent)) < LIMIT_CHARACTERS
    text = telegram.sent[-1]
    assert _unclosed(text) == []
    assert "/user/QueueBacklog.md" in text
    # Over and firing in one message, which is the longest there is.
    before = len(telegram.sent)
    _post(alertmanager, [_backlog(number, over=True) for number in range(MANY // 2)])
    wait_for(lambda: len(telegram.sent) > before)
    assert len(telegram.sent[-1]) < LIMIT_CHARACTERS
    assert _unclosed(telegram.sent[-1]) == []


def test_a_single_alert_is_told_in_full(alertmanager: str, telegram: Telegram) -> None:
    """What is wrong, since when, and the ways to runbook, dashboard and query; a label's value brings no markup in."""
    _post(alertmanager, [_backlog(1)])
    (text,) = wait_for(lambda: telegram.sent)
    assert text.startswith("🟡 <b>QueueBacklog</b> · shop-worker\nTasks pile up")
    assert "tasks wait in queue &lt;b&gt;" in text
    assert re.findall(r">([^<]+)</a>", text) == ["what to do", "dashboard", "query"]
    assert "in all" not in text


def _backlog(number: int, *, over: bool = False) -> dict[str, Any]:
    # One that began long ago is sent before the others of its group have come in.
    now = datetime.now(UTC).isoformat()
    queue = f"<b>{LONG_NAME.format(number)}"
    alert: dict[str, Any] = {
        "labels": {
            "alertname": "QueueBacklog",
            "severity": "warning",
            "service": "shop-worker",
            "component": "queue",
            "queue": queue,
        },
        "annotations": {
            "summary": "Tasks pile up",
            "description": f"240 tasks wait in queue {queue} (limit 100), as seen by shop-worker: "
            + "why " * 60,
            "runbook_url": "http://monitoring.example.com:9090/user/QueueBacklog.md",
            "dashboard_url": f"http://monitoring.example.com:3000/d/botmetry-queues?var-queue={queue}&var-service=x",
        },
        "startsAt": now,
        "generatorURL": "http://monitoring.example.com:9090/graph?g0.expr=" + "max+by+%28service%29+" * 25,
    }
    return alert | ({"endsAt": now} if over else {})


def _unclosed(text: str) -> list[str]:
    """Return the tags that are open at the end of a text; a `<` that begins no whole tag counts, too."""
    open_tags: list[str] = []
    for closing, name in TAG.findall(text):
        if closing and open_tags[-1:] == [name]:
            open_tags.pop()
        else:
            open_tags.append(closing + name)
    return open_tags + re.findall("<", TAG.sub("", text))


def _post(url: str, alerts: list[dict[str, Any]]) -> None:
    request = urllib.request.Request(
        f"{url}/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).close()
