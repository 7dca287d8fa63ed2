"""Each of the seven faults raises its alert in the running system, and the alert goes when the fault goes.

Everything is real: the demo with its users, Prometheus, Alertmanager, and a receiver of webhooks. The rules are the
repository's, with windows and waits capped so that minutes become seconds; thresholds are as they are.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from botmetry.stack.pace import Pace
from midas.demo.faults import FAULTS
from midas.demo.options import DemoOptions, Ports
from midas.demo.supervisor import Demo

pytestmark = pytest.mark.asyncio(loop_scope="module")

# A scrape may take as long as the interval, and while Redis is away it takes a second; six fit into a window.
PACE = Pace(interval="2s", window="12s", hold="2s")
# A model that takes 12 s, seen by a rate over 12 s, and a notification that waits its 2 s: the slowest needs 40 s.
ARRIVES_SECONDS = 60.0
RESOLVES_SECONDS = 60.0
SPEED = 4.0  # users as at four times the normal load: a backlog of a hundred tasks comes sooner


@dataclass
class Receiver:
    """Takes Alertmanager's notifications and remembers each alert's latest state."""

    url: str = ""
    firing: dict[str, set[str]] = field(default_factory=dict)
    history: list[tuple[str, str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        for alert in body["alerts"]:
            name, fingerprint = alert["labels"]["alertname"], alert["fingerprint"]
            state = self.firing.setdefault(name, set())
            (state.add if alert["status"] == "firing" else state.discard)(fingerprint)
            self.history.append((name, alert["status"]))
        self.changed.set()
        return web.Response()

    async def until(self, alert: str, *, firing: bool, seconds: float) -> None:
        """Wait until an alert was notified as firing, or all of it as resolved."""
        try:
            async with asyncio.timeout(seconds):
                while bool(self.firing.get(alert)) != firing:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            state = "arrive" if firing else "resolve"
            pytest.fail(f"{alert} did not {state} within {seconds:.0f} s; notified: {self.history}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    taken = Receiver()
    app = web.Application()
    app.router.add_post("/", taken.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    taken.url = f"http://{host}:{port}/"
    yield taken
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """Run the demo in silence: nobody has ever come, so that nobody is remembered as active."""
    data = tmp_path_factory.mktemp("demo")
    options = DemoOptions(fault="silence", speed=SPEED, data=data, keep_data=False, ports=Ports.free(2))
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    async with Demo(options, environ, say=lambda _: None, pace=PACE, webhook_url=receiver.url) as running:
        assert "Prometheus" in running.addresses, "Prometheus is needed: `midas setup` installs it"
        assert "Alertmanager" in running.addresses, "Alertmanager is needed: `midas setup` installs it"
        yield running


@pytest.mark.parametrize("name", sorted(FAULTS, key=lambda name: name != "silence"))
async def test_a_fault_raises_its_alert_which_resolves_when_the_fault_ends(
    demo: Demo, receiver: Receiver, name: str
):
    """The alert arrives at the receiver while the fault is on, and as resolved once it is over."""
    alert = FAULTS[name].alert
    if name not in demo.faults.active:
        await receiver.until(alert, firing=False, seconds=RESOLVES_SECONDS)  # what the one before left behind
    await demo.faults.begin(name)
    await receiver.until(alert, firing=True, seconds=ARRIVES_SECONDS)
    await demo.faults.end(name)
    await receiver.until(alert, firing=False, seconds=RESOLVES_SECONDS)


async def test_nothing_was_lost_on_the_way(demo: Demo):
    """After seven faults every process runs and no task is missing."""
    assert all(part.alive for part in demo.keeper.parts)
    assert demo.keeper.restarts == 0
