"""Clients that misbehave cost the program little."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from botmetry.server.routes import Routes

HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
PATIENCE_SECONDS = 60.0
HEAD_SECONDS = 1.0


@asynccontextmanager
async def connections(serving, header_timeout_seconds):
    server = await serving(header_timeout_seconds=header_timeout_seconds, max_request_bytes=4096)
    writers = []

    async def connect():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
    await server.aclose()


@pytest.fixture(name="connect")
async def _connect(serving):
    """Open raw connections to a server that takes small requests, and waits for them longer than any test."""
    async with connections(serving, 2 * PATIENCE_SECONDS) as connect:
        yield connect


@pytest.fixture(name="connect_in_haste")
async def _connect_in_haste(serving):
    """Open raw connections to a server that does not wait long for a request head."""
    async with connections(serving, HEAD_SECONDS) as connect:
        yield connect


async def status_of(reader):
    """Return the status of the next answer, None when the connection is closed instead."""
    line = await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS)
    return int(line.split()[1]) if line else None


async def skip_answer(reader):
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)
    length = next(
        int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    await reader.readexactly(length)


@pytest.mark.parametrize(
    "sent", [b"", b"GET /healthz HT", HEAD + b"X-Slow: "], ids=["nothing", "line", "header"]
)
async def test_a_head_that_does_not_end_is_cut_off(connect_in_haste, sent):
    """A client that does not complete its request head in time is answered 408 and disconnected."""
    started = time.monotonic()
    reader, writer = await connect_in_haste()
    writer.write(sent)

    assert await status_of(reader) == 408
    await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    assert 0.95 * HEAD_SECONDS < time.monotonic() - started < PATIENCE_SECONDS


async def test_a_head_in_drops_is_cut_off(connect_in_haste):
    """Sending a byte now and then does not prolong the time."""
    reader, writer = await connect_in_haste()

    async def drip():
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    writer.write(HEAD + b"X-Slow: ")
    dripping = asyncio.create_task(drip())
    try:
        assert await status_of(reader) == 408
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def test_a_further_head_has_a_deadline_too(connect_in_haste, eventually):
    """On a kept connection the deadline begins with the first byte of the next request, not before."""
    reader, writer = await connect_in_haste()
    for _ in range(2):
        writer.write(HEAD + b"\r\n")
        await skip_answer(reader)
        answered = time.monotonic()  # waiting between requests is allowed, for longer than a head may take
        await eventually(lambda since=answered: time.monotonic() - since > 1.5 * HEAD_SECONDS)
    writer.write(b"GET /he")

    assert await status_of(reader) == 408


async def test_requests_may_be_sent_at_once(connect):
    """Several requests in one packet are all answered."""
    reader, writer = await connect()
    writer.write((HEAD + b"\r\n") * 3)

    for _ in range(3):
        await skip_answer(reader)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(HEAD + b"X-Long: " + b"x" * 6000, id="one-header"),
        pytest.param(HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 90) for n in range(60)), id="many-headers"),
        pytest.param(b"GET /" + b"x" * 6000 + b" HTTP/1.1\r\nHost: x\r\n", id="path"),
    ],
)
async def test_a_head_that_is_too_large_is_refused(connect, head):
    """A head above the limit is answered 431 and the connection is closed, complete or not."""
    for end in (b"", b"\r\n\r\n"):
        reader, writer = await connect()
        writer.write(head + end)

        assert await status_of(reader) == 431
        await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)


async def test_a_body_that_is_too_large_is_refused(connect):
    """An announced body above the limit is answered 413, without waiting for it."""
    reader, writer = await connect()
    writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n")

    assert await status_of(reader) == 413
    await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)


async def test_a_small_body_is_no_harm(connect):
    """A body that comes with a GET is not read; the request is answered."""
    reader, writer = await connect()
    writer.write(HEAD + b"Content-Length: 5\r\n\r\nhello")

    assert await status_of(reader) == 200


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01", b"HELO there\r\n\r\n", b"\r\n" * 40 + b"\x00\r\n\r\n"]
)
async def test_garbage_is_answered_and_not_logged(connect_in_haste, garbage, caplog):
    """What is no HTTP is answered 400, without a traceback in the program's log."""
    reader, writer = await connect_in_haste()
    writer.write(garbage)

    assert await status_of(reader) in {400, 408}
    assert not caplog.records


async def test_connections_are_limited(serving, eventually):
    """A client that opens connections without end gets 128 of them; when they are closed there is room again."""
    async with serving(header_timeout_seconds=2 * PATIENCE_SECONDS) as server:
        opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(200)]
        await eventually(lambda: sum(reader.at_eof() for reader, _ in opened) >= 72)
        assert sum(reader.at_eof() for reader, _ in opened) == 72
        for _, writer in opened:
            writer.close()

        async def answered():
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(HEAD + b"\r\n")
            status = await status_of(reader)
            writer.close()
            return status == 200

        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await answered():
                await asyncio.sleep(0.01)


async def test_a_failure_of_ours_is_answered_and_counted(connect, telemetry, monkeypatch):
    """An error in the server itself is answered 500, without its text, and counted."""

    def broken(*_):
        raise RuntimeError("what-went-wrong")

    monkeypatch.setattr(Routes, "_refusal", broken)
    reader, writer = await connect()
    writer.write(HEAD + b"\r\n")
    answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"what-went-wrong" not in answer
    assert b'telemetry_errors_total{component="server"} 1' in telemetry.render()
