"""HTTPS, when a certificate is configured."""

from __future__ import annotations

import asyncio
import ssl
import subprocess

import aiohttp
import pytest


@pytest.fixture(name="certificate", scope="module")
def _certificate(tmp_path_factory):
    """Make a certificate for 127.0.0.1 with its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    names = ["-subj", "/CN=shop-bot", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        *names,
    ]
    subprocess.run(
        [*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60
    )
    return {"tls_certificate": certificate, "tls_key": key}


async def test_metrics_are_served_over_https(serving, certificate):
    """The url says https, and a client that trusts the certificate gets the metrics."""
    trust = ssl.create_default_context(cafile=certificate["tls_certificate"])
    connector = aiohttp.TCPConnector(ssl=trust)
    async with (
        serving(**certificate) as server,
        aiohttp.ClientSession(connector=connector) as session,
        session.get(server.url + "/metrics") as response,
    ):
        assert server.url.startswith("https://127.0.0.1:")
        assert response.status == 200
        assert b"botmetry_build_info" in await response.read()


async def test_plain_http_is_not_answered(serving, certificate, http):
    """A client that speaks plain HTTP to the TLS port gets no metrics, and the server goes on."""
    trust = ssl.create_default_context(cafile=certificate["tls_certificate"])
    async with serving(**certificate) as server:
        with pytest.raises(aiohttp.ClientError):
            await http.get(server.url.replace("https", "http") + "/metrics")
        async with http.get(server.url + "/healthz", ssl=trust) as response:
            assert response.status == 200


async def test_a_handshake_that_does_not_end_is_cut_off(serving, certificate):
    """A client that connects and says nothing is disconnected after the header time."""
    async with serving(**certificate, header_timeout_seconds=0.2) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
