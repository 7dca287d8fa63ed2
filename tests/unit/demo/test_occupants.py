"""Whose port it is that the demo wants can be told from the message."""

import socket
import subprocess
import sys
import time

import pytest

from midas.demo.errors import PortTaken
from midas.demo.occupants import check_ports
from midas.demo.options import DemoOptions, Ports
from midas.demo.ports import free_port


def test_a_python_program_is_named_by_what_it_runs():
    """`python (pid 17)` could be anything; its arguments, which may hold a password, are not shown."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 60
            while not _listens(port):  # it has the port earlier, and asks for this machine's name in between
                assert time.monotonic() < deadline, "the server did not come up"
                time.sleep(0.05)
            with pytest.raises(PortTaken) as caught:
                check_ports(DemoOptions(ports=Ports(bot=port)), optional=frozenset())
        finally:
            server.kill()
    assert f" -m http.server (pid {server.pid})" in str(caught.value)
    assert "--bind" not in str(caught.value)


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
