"""The server of a program without an event loop."""

from __future__ import annotations

import socket
import threading
import urllib.request
from concurrent.futures import Future

import pytest

from botmetry import ServerStartError
from botmetry.server import start_in_thread
from botmetry.settings import ServerSettings


def fetch(url):
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.status, response.read()


def test_a_synchronous_program_can_be_scraped(telemetry):
    """Metrics of a plain program are served from a thread; after closing the thread is gone and the port closed."""
    threads = threading.active_count()
    server = telemetry.serve_in_thread(port=0)
    telemetry.bot.update("message")
    status, body = fetch(server.url + "/metrics")
    server.close()
    server.close()

    assert status == 200
    assert b'bot_updates_total{type="message"} 1' in body
    assert threading.active_count() == threads
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


def test_it_is_a_context_manager_too(telemetry):
    """Leaving a `with` block closes the server."""
    with start_in_thread(telemetry, ServerSettings(port=0)) as server:
        assert fetch(server.url + "/healthz") == (200, b"ok\n")

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


def test_a_taken_port_is_an_error_in_the_caller(telemetry):
    """Starting on a taken port raises in the caller, at once, and no thread is left."""
    threads = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServerStartError, match=f"127.0.0.1:{port}: the port is taken"):
            telemetry.serve_in_thread(port=port)

    assert threading.active_count() == threads


def test_giving_up_leaves_no_thread(telemetry, monkeypatch):
    """A caller that is interrupted while the server starts gets its interrupt, and no server."""
    threads = threading.active_count()

    def interrupt(*_):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Future, "result", interrupt)
    with pytest.raises(KeyboardInterrupt):
        telemetry.serve_in_thread(port=0)

    assert threading.active_count() == threads


def test_several_threads_may_close_it(telemetry):
    """Closing from several threads at once closes once, and all of them return."""
    server = telemetry.serve_in_thread(port=0)
    closers = [threading.Thread(target=server.close) for _ in range(4)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(60)

    assert not any(closer.is_alive() for closer in closers)
