"""A cable between the bot and a server that a test can pull out, or hold so that nothing comes through."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

from midas.demo.ports import free_port


class Relay:
    """Forwards a TCP port to another."""

    def __init__(self, host, port):
        self._target = (host, port)
        self._server = None
        self._links = set()
        self._open = asyncio.Event()
        self._open.set()
        self.port = free_port()  # no ephemeral one: it is needed a second time

    async def plug_in(self):
        """Listen, each time on the same port."""
        self._open.set()
        self._server = await asyncio.start_server(self._link, "127.0.0.1", self.port)

    async def pull_out(self):
        """Refuse connections and cut those that exist."""
        self._server.close()
        for link in list(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        await self._server.wait_closed()

    def hold(self):
        """Take everything and pass nothing on, as a server that hangs."""
        self._open.clear()

    def let_go(self):
        """Pass on what was held, and everything after it."""
        self._open.set()

    async def _link(self, reader, writer):
        task = asyncio.current_task()
        self._links.add(task)
        far = None
        try:
            far_reader, far = await asyncio.open_connection(*self._target)
            await asyncio.gather(self._pump(reader, far), self._pump(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            return
        finally:
            self._links.discard(task)
            for end in (writer, far):
                if end is not None:
                    end.close()

    async def _pump(self, reader, writer):
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()


@asynccontextmanager
async def relay(host, port):
    """Give a relay that is plugged in."""
    cable = Relay(host, port)
    await cable.plug_in()
    try:
        yield cable
    finally:
        cable.let_go()
        await cable.pull_out()
