"""The server's beginning and end leave nothing behind."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from botmetry import ServerStartError
from botmetry.server import Serving
from botmetry.settings import ServerSettings
from midas.demo.ports import free_port


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_the_handle_says_where_it_is(http, serving):
    """Port 0 takes a free port; url and port say which, and the url works as it is."""
    async with serving() as server:
        assert server.port > 0
        assert server.url == f"http://127.0.0.1:{server.port}"
        async with http.get(server.url) as response:
            assert response.status == 200


async def test_it_can_be_awaited(http, serving):
    """Awaiting gives a handle that is closed by hand, more than once if need be."""
    server = await serving()
    async with http.get(server.url + "/healthz") as response:
        assert response.status == 200
    await server.aclose()
    await asyncio.gather(server.aclose(), server.aclose())
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_it_leaves_nothing_behind(serving, slow, eventually):
    """After the end there are no tasks, no threads and no open files, also when connections were open."""
    slow.go_on.set()
    files, threads = open_files(), threading.active_count()
    async with serving() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()

    assert asyncio.all_tasks() == {asyncio.current_task()}
    # Fewer where something of an earlier test ends meanwhile.
    await eventually(lambda: threading.active_count() <= threads)
    await eventually(lambda: open_files() <= files)


async def test_a_taken_port_is_an_error_in_the_caller(telemetry):
    """Starting on a taken port raises at once, names host and port, and leaves nothing behind."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        files, threads = open_files(), threading.active_count()
        with pytest.raises(ServerStartError, match=f"127.0.0.1:{port}: the port is taken") as raised:
            await Serving(telemetry, ServerSettings(port=port))
        with pytest.raises(ServerStartError):
            async with Serving(telemetry, ServerSettings(port=port)):
                pytest.fail("the body must not run")

        assert (raised.value.host, raised.value.port) == ("127.0.0.1", port)
        assert (open_files(), threading.active_count()) == (files, threads)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_start_that_fails_late_leaves_nothing_behind(serving, monkeypatch):
    """When the event loop refuses the sockets they are closed, and the error reaches the caller."""
    files = open_files()

    async def refuse(*_, **__):
        raise MemoryError("no room for a server")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_server", refuse)
    with pytest.raises(MemoryError, match="no room"):
        await serving()

    assert open_files() == files
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_port_is_free_again_at_once(telemetry, serving, http):
    """A server can be started on the port of one that just served a scrape and was closed."""
    port = free_port()  # no ephemeral one, which another program may be given in between
    async with serving(port=port) as first, http.get(first.url + "/metrics") as response:
        await response.read()
    async with Serving(telemetry, ServerSettings(port=port)) as second:
        assert second.port == first.port == port


async def test_a_scrape_under_way_is_finished(http, serving, slow, eventually):
    """Closing waits for the scrape that is being answered, and new connections are refused meanwhile."""
    server = await serving()

    async def scrape():
        async with http.get(server.url + "/metrics", headers={"Accept-Encoding": "identity"}) as response:
            return response.status, await response.read()

    scraping = asyncio.create_task(scrape())
    await eventually(lambda: slow.collections)
    closing = asyncio.create_task(server.aclose())
    await eventually(lambda: refused(server.port))
    assert not scraping.done()
    slow.go_on.set()
    status, body = await scraping
    await closing

    assert status == 200
    assert b"slow_things 7" in body


async def test_a_cancelled_close_is_completed(serving, slow, http, eventually):
    """A caller that gives up waiting leaves the closing to end by itself."""
    server = await serving()
    scraping = asyncio.ensure_future(http.get(server.url + "/metrics"))
    await eventually(lambda: slow.collections)
    closing = asyncio.create_task(server.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    slow.go_on.set()
    (await scraping).release()
    await server.aclose()

    assert refused(server.port)


@pytest.mark.parametrize("host", ["::1", "0.0.0.0"])
async def test_other_hosts_work(http, serving, host):
    """IPv6 and all addresses are bound, and the url reaches them."""
    async with serving(host=host) as server, http.get(server.url + "/healthz") as response:
        assert response.status == 200


def refused(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return False
    except ConnectionRefusedError:
        return True
