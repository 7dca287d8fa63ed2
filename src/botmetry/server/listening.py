"""The sockets and the certificate of the metrics server; what goes wrong here goes wrong at once, in the caller."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
from contextlib import ExitStack

from botmetry.errors import ServerStartError
from botmetry.settings import ServerSettings

__all__ = ["listening_sockets", "tls_context", "url_of"]

# Connections that wait to be accepted; scrapes are few.
_BACKLOG = 32

_WHAT_TO_DO = {
    errno.EADDRINUSE: "the port is taken; stop the program that has it, or choose another port (0 takes any free one)",
    errno.EADDRNOTAVAIL: "this machine has no such address; use 127.0.0.1, or 0.0.0.0 for all of its addresses",
    errno.EACCES: "ports below 1024 need privileges; choose a higher one",
}


def listening_sockets(host: str, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """Return a listening socket for every address of `host`, all with the same port.

    With `reuse_port`, other processes of the same user may listen on it too; the kernel gives each connection to one.

    Raises:
        ServerStartError: The port is taken, or `host` is no address of this machine. No socket stays open.
    """
    with ExitStack() as opened:
        sockets: list[socket.socket] = []
        for family, address in _addresses(host, port):
            try:
                sock = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                chosen = sockets[0].getsockname()[1] if sockets else port
                if reuse_port:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                _listen(sock, (address, chosen))
            except OSError as error:
                raise ServerStartError(host, port, _reason(error)) from error
            sockets.append(sock)
        opened.pop_all()
    return sockets


def tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    """Return the TLS context for the configured certificate; None when none is configured.

    Raises:
        ServerStartError: A file is missing, or the two are not a certificate and its key.
    """
    if settings.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = (
            f"the certificate {settings.tls_certificate} and the key {settings.tls_key} cannot be used: {error}; "
            "both must be PEM files that belong together, the key without a password"
        )
        raise ServerStartError(settings.host, settings.port, reason) from error
    return context


def url_of(sock: socket.socket, *, tls: bool) -> str:
    """Return the URL at which this machine reaches `sock`, without a slash at the end."""
    host, port = sock.getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:  # bound to all addresses; "all" is no place that a browser can go to
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")  # noqa: PLR2004 -- IPv4
    shown = str(address) if address.version == 4 else f"[{address}]"  # noqa: PLR2004 -- IPv4
    return f"{'https' if tls else 'http'}://{shown}:{port}"


def _addresses(host: str, port: int) -> list[tuple[int, str]]:
    """Return the distinct families and addresses of `host`, in the resolver's order."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ServerStartError(host, port, f"the host name is unknown ({error})") from error
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _listen(sock: socket.socket, address: tuple[str, int]) -> None:
    # A restarted program gets its port back although old connections still linger in TIME_WAIT.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
    sock.bind(address)
    sock.listen(_BACKLOG)


def _reason(error: OSError) -> str:
    return _WHAT_TO_DO.get(error.errno or 0, str(error))


def _no_password() -> str:
    """Refuse to ask: the default would stop the program at a prompt on the terminal."""
    raise ValueError("the key is protected by a password")
