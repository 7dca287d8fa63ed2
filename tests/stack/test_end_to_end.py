"""Each of the seven faults raises its alert in the running system, and the alert goes when the fault goes.

Everything is real: the demo with its users, Prometheus, Alertmanager, and a receiver of webhooks. The rules are the
repository's, with windows and waits capped so that minutes become seconds; thresholds are as they are.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from botmetry.stack.files import find_stack
from botmetry.stack.pace import Pace
from midas.demo.accounting import read_account
from midas.demo.faults import FAULTS
from midas.demo.options import DemoOptions, Ports
from midas.demo.supervisor import Demo

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILES = find_stack(Path(__file__))

# A scrape may take as long as the interval, and while Redis is away it takes a second. The window must see at least
# one answered poll, and a poll without news takes 20 s.
PACE = Pace(interval="2s", window="24s", hold="2s")
# A model that takes 12 s, or a hundred tasks that nobody takes, then the rule's and the notification's 2 s.
ARRIVES_SECONDS = 150.0
RESOLVES_SECONDS = 150.0
SPEED = 4.0  # users as at four times the normal load: a backlog of a hundred tasks comes sooner
# Silence first, before anybody has come: who came is counted as active for five minutes. A backlog early, so that it
# is worked off when the model becomes slow.
ORDER = ("silence", "backlog", "bot-errors", "low-confidence", "slow-db", "slow-ai", "redis-down")
# Their critical alerts hold back lesser ones about the same part, and Alertmanager does not tell later of what resolved
# meanwhile: they begin when all before them is over.
HOLD_BACK = {"bot-errors", "redis-down"}


@dataclass
class Receiver:
    """Takes Alertmanager's notifications and remembers each alert's latest state."""

    url: str = ""
    firing: dict[str, set[str]] = field(default_factory=dict)
    history: list[tuple[str, str]] = field(default_factory=list)
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        for alert in body["alerts"]:
            name = alert["labels"]["alertname"]
            state = self.firing.setdefault(name, set())
            (state.add if alert["status"] == "firing" else state.discard)(alert["fingerprint"])
            self.history.append((name, alert["status"]))
            self.texts[name] = alert["annotations"]
        async with self.news:
            self.news.notify_all()
        return web.Response()

    async def until(self, alert: str, *, firing: bool, seconds: float) -> None:
        """Wait until an alert was notified as firing, or all of it as resolved."""
        try:
            async with asyncio.timeout(seconds), self.news:
                await self.news.wait_for(lambda: bool(self.firing.get(alert)) == firing)
        except TimeoutError:
            what = "arrive" if firing else "resolve"
            message = f"{alert} did not {what} within {seconds:.0f} s; notified: {self.history}"
            raise AssertionError(message) from None


@dataclass
class Tour:
    """All faults, one after the other; each one's alert resolves while the next fault is on already."""

    arrived: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    resolved: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self, demo: Demo, receiver: Receiver) -> None:
        assert set(ORDER) == set(FAULTS)
        for name in ORDER:
            if name in HOLD_BACK:
                await asyncio.wait(self.resolved.values())
            self.arrived[name] = arriving = asyncio.ensure_future(self._provoke(demo, receiver, name))
            await asyncio.wait({arriving})
            self.resolved[name] = asyncio.create_task(
                receiver.until(FAULTS[name].alert, firing=False, seconds=RESOLVES_SECONDS)
            )

    async def _provoke(self, demo: Demo, receiver: Receiver, name: str) -> None:
        alert = FAULTS[name].alert
        assert not receiver.firing.get(alert) or name in demo.faults.active, (
            f"{alert} fires without its fault"
        )
        async with demo.faults.during(name):
            await receiver.until(alert, firing=True, seconds=ARRIVES_SECONDS)
            # The first poll of a bot that nobody writes to takes 20 s, and with waits this short it counts as stalled.
            await receiver.until("BotPollingStalled", firing=False, seconds=RESOLVES_SECONDS)


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
    """Run the demo, silent from the start."""
    data = tmp_path_factory.mktemp("demo")
    options = DemoOptions(fault="silence", speed=SPEED, data=data, keep_data=False, ports=Ports.free(2))
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    async with Demo(options, environ, say=lambda _: None, pace=PACE, webhook_url=receiver.url) as running:
        assert "Prometheus" in running.addresses, "Prometheus is needed: `midas setup` installs it"
        assert "Alertmanager" in running.addresses, "Alertmanager is needed: `midas setup` installs it"
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tour(demo: Demo, receiver: Receiver) -> Tour:
    made = Tour()
    await made.run(demo, receiver)
    return made


@pytest.mark.parametrize("name", ORDER)
async def test_a_fault_raises_its_alert(tour: Tour, name: str):
    """The alert, quiet before, arrives at the receiver while its fault is on."""
    await tour.arrived[name]


@pytest.mark.parametrize("name", ORDER)
async def test_the_alert_resolves_when_the_fault_ends(tour: Tour, name: str):
    """The receiver is told that it is over."""
    await tour.resolved[name]


@pytest.mark.parametrize("name", ORDER)
async def test_what_arrives_can_be_read_and_followed(tour: Tour, receiver: Receiver, name: str):
    """The text is filled in and has a figure, the runbook opens under its link, and the dashboard exists."""
    await tour.arrived[name]
    alert = FAULTS[name].alert
    said = receiver.texts[alert]
    assert said["summary"]
    assert re.search(r"\d", said["description"]), said
    assert not re.search(r"\{\{|<no value>|NaN|error calling", " ".join(said.values())), said
    async with aiohttp.ClientSession() as http, http.get(said["runbook_url"]) as page:
        assert page.status == 200
        assert (await page.text()).startswith(f"# {alert}")
    board = urlsplit(said["dashboard_url"]).path.removeprefix("/d/")
    assert (FILES.dashboards / f"{board}.json").is_file()


async def test_the_watchdog_never_stops(tour: Tour, receiver: Receiver):
    """What a dead man's switch waits for arrived, and was not said to be over while seven faults came and went."""
    await tour.arrived[ORDER[-1]]
    assert ("Watchdog", "firing") in receiver.history
    assert ("Watchdog", "resolved") not in receiver.history


async def test_nothing_was_lost_on_the_way(tour: Tour, demo: Demo):
    """After seven faults every process runs, none was started again, and no task is missing."""
    assert all(part.alive for part in demo.keeper.parts)
    assert demo.keeper.restarts == 0
    assert (await read_account(demo.databases.urls["REDIS_URL"])).lost == 0
