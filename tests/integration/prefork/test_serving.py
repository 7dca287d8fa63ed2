"""One port answers for all processes, whichever of them the connection reaches."""

from __future__ import annotations

import os
import socket
import urllib.request

import pytest

from botmetry import LogSettings, ServerSettings, Telemetry
from botmetry.errors import ServerStartError
from botmetry.settings import settings_from_env

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def port():
    """A port that nobody has; it is held open for others to share until the test ends."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def scrape(port: int) -> dict[str, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return dict(line.split(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_every_child_may_serve_and_any_of_them_answers_for_all(telemetry, forked, port):
    """Each scrape shows the counts of all, also of those that were killed and no longer answer."""

    def body(pipe):
        telemetry.counter("done_total", "Done.").inc(pipe.recv())
        server = telemetry.serve_in_thread(port=port)
        pipe.send(server.port)
        pipe.recv()

    children = [forked(body) for _ in range(3)]
    for number, child in enumerate(children):
        assert child.ask(10**number) == port
    for _ in range(12):
        assert scrape(port)["done_total"] == "111.0"
    children[0].kill()
    for _ in range(12):
        assert scrape(port)["done_total"] == "111.0"


def test_a_child_keeps_no_socket_of_a_parent_that_served(forked, until, tmp_path):
    """When the parent has ended nobody listens, although a child that it forked lives on."""

    def parent(pipe):
        telemetry = Telemetry("shop-bot", prefork=tmp_path, log=LogSettings(output="none"))
        server = telemetry.serve_in_thread(port=0)
        child = os.fork()
        if child == 0:
            pipe.recv()
            os._exit(0)
        pipe.send((server.port, child))
        os._exit(0)

    child = forked(parent)
    port, _ = child.receive()
    child.wait()

    def refused():
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) != 0

    until(refused)
    child.pipe.send("end")


def test_without_prefork_a_port_that_is_taken_is_still_an_error(telemetry):
    """Only processes that answer for each other share a port."""
    with telemetry.serve_in_thread(port=0) as server:
        alone = Telemetry("other-bot", log=LogSettings(output="none"))
        with pytest.raises(ServerStartError, match="taken"):
            alone.serve_in_thread(port=server.port)
        sharing = Telemetry(
            "third-bot", server=ServerSettings(reuse_port=True), log=LogSettings(output="none")
        )
        sharing.serve_in_thread(port=server.port).close()


def test_the_environment_can_say_it(tmp_path):
    """`BOTMETRY_PREFORK` is true, false, or the folder."""
    for text, value in (("true", True), ("0", False), ("", False), ("/run/shop", "/run/shop")):
        settings = settings_from_env({"BOTMETRY_SERVICE": "shop-bot", "BOTMETRY_PREFORK": text})
        assert settings.prefork == value
    made = Telemetry.from_env({"BOTMETRY_SERVICE": "shop-bot", "BOTMETRY_PREFORK": str(tmp_path)})
    made.render()
    assert len(list(tmp_path.glob("*.live"))) == 1
