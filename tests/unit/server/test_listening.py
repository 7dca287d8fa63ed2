"""What cannot be listened on is said at once, with what to do about it."""

from __future__ import annotations

import socket
import subprocess

import pytest

from botmetry.errors import ServerStartError
from botmetry.server.listening import listening_sockets, tls_context, url_of
from botmetry.settings import ServerSettings


def close_all(sockets):
    for sock in sockets:
        sock.close()


def test_a_taken_port_is_named():
    """A port that another program has is an error that names host and port and says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServerStartError) as raised:
            listening_sockets("127.0.0.1", port)

    assert (raised.value.host, raised.value.port) == ("127.0.0.1", port)
    assert f"127.0.0.1:{port}" in str(raised.value)
    assert "the port is taken" in str(raised.value)


def test_a_foreign_address_is_refused():
    """An address that this machine does not have is an error that says so (192.0.2.1 is for documentation)."""
    with pytest.raises(ServerStartError, match="this machine has no such address"):
        listening_sockets("192.0.2.1", 0)


def test_an_unknown_host_name_is_refused():
    """A host name that cannot be resolved is an error that names it."""
    with pytest.raises(ServerStartError, match=r"no-such-host\.invalid:0: the host name is unknown"):
        listening_sockets("no-such-host.invalid", 0)


def test_all_addresses_of_a_name_get_the_same_port(monkeypatch):
    """With port 0 every address of the host is bound to one and the same free port."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
    ]
    # A bare machine has no name of this kind, not even localhost.
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    sockets = listening_sockets("dual.example", 0)
    try:
        assert {sock.family for sock in sockets} == {socket.AF_INET, socket.AF_INET6}
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        close_all(sockets)


@pytest.mark.parametrize(
    ("host", "tls", "expected"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:{port}"),
        ("127.0.0.1", True, "https://127.0.0.1:{port}"),
        ("0.0.0.0", False, "http://127.0.0.1:{port}"),
        ("::1", False, "http://[::1]:{port}"),
        ("::", False, "http://[::1]:{port}"),
    ],
)
def test_the_url_is_one_that_works(host, tls, expected):
    """The URL brackets IPv6 addresses, and names this machine when all of its addresses are bound."""
    sockets = listening_sockets(host, 0)
    try:
        assert url_of(sockets[0], tls=tls) == expected.format(port=sockets[0].getsockname()[1])
    finally:
        close_all(sockets)


def test_a_missing_certificate_is_named(tmp_path):
    """A certificate file that is not there is an error that names it."""
    settings = ServerSettings(
        tls_certificate=str(tmp_path / "missing.pem"), tls_key=str(tmp_path / "key.pem")
    )

    with pytest.raises(ServerStartError, match=r"missing\.pem"):
        tls_context(settings)


def test_a_key_with_a_password_is_refused_without_asking(tmp_path):
    """A password-protected key is an error, not a prompt on the terminal that nobody sees."""
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:secret", "-subj", "/CN=x"]
    subprocess.run(
        [*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60
    )

    with pytest.raises(ServerStartError, match="protected by a password"):
        tls_context(ServerSettings(tls_certificate=certificate, tls_key=key))


def test_without_a_certificate_there_is_no_tls():
    """The default is plain HTTP."""
    assert tls_context(ServerSettings()) is None
