"""Every query of every panel and rule, on a real Prometheus that watches the real demo: none errs, each shows data.

What the demo does not do, or does only in trouble, is done to it: the faults in `TROUBLES` and the shop (shop.py),
a second program with sagas and background jobs. Only what asks Loki is left to `botmetry check`, which parses it, and
to test_live.py.
"""

import asyncio
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from botmetry.stack.checks.board_file import PROMETHEUS, kind_of, panels_of, text_of
from botmetry.stack.files import find_stack
from botmetry.stack.located import read_located
from botmetry.stack.pace import Pace
from midas.demo.options import DemoOptions, Ports
from midas.demo.supervisor import Demo

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILES = find_stack(Path(__file__))
SHOP = Path(__file__).with_name("shop.py")

INTERVAL_SECONDS = 2
PACE = Pace(interval="2s", window="24s", hold="2s")
SPEED = 4.0
SHOWN_SECONDS = 180.0

# Panels that are empty while all is well, and what has to go wrong for them.
TROUBLES = {
    ("botmetry-overview", "Errors by type"): "bot-errors",
    ("botmetry-redis", "Failed commands"): "redis-down",
    ("botmetry-telemetry", "Telemetry errors"): "redis-down",
    ("botmetry-telemetry", "Telemetry errors by component"): "redis-down",
    ("botmetry-database", "Failed statements"): "slow-db",
}


@dataclass(frozen=True)
class Asked:
    """One query of a panel or an annotation."""

    board: str
    panel: str
    expr: str
    instant: bool
    exemplars: bool

    def __str__(self) -> str:
        return f"{self.board} / {self.panel}: {self.expr}"


def asked() -> Iterator[Asked]:
    for path in sorted(FILES.dashboards.glob("*.json")):
        document = read_located(path)
        for panel in panels_of(document):
            for target in panel.each("targets"):
                if kind_of(target) == PROMETHEUS:
                    yield Asked(
                        path.stem,
                        text_of(panel, "title"),
                        text_of(target, "expr"),
                        text_of(target, "instant") == "true",
                        text_of(target, "exemplar") == "true",
                    )
        for annotation in document.each("annotations", "list"):
            name = f"annotation {text_of(annotation, 'name')}"
            yield Asked(path.stem, name, text_of(annotation, "expr"), instant=False, exemplars=False)


def as_grafana(expr: str, shown_seconds: float) -> str:
    """Return a query as Grafana sends it with All chosen: its own variables filled in, the house's as anything."""
    own = {
        # The larger of four scrapes and a step more than one.
        "__rate_interval": f"{4 * INTERVAL_SECONDS}s",
        "__interval": f"{INTERVAL_SECONDS}s",
        "__range": f"{shown_seconds:.0f}s",
    }
    return re.sub(r"\$\{?(\w+)\}?", lambda match: own.get(match[1], ".+"), expr)


class Prometheus:
    """The HTTP API of the running Prometheus."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self.began = time.time()

    async def ask(self, path: str, **parameters: object) -> Any:
        """Return the data of an answer; an error of Prometheus fails the test with its words."""
        data = {name: str(value) for name, value in parameters.items()}
        async with self._http.post(f"{self._url}/api/v1/{path}", data=data) as response:
            answer = await response.json()
        assert answer["status"] == "success", f"{parameters.get('query')}: {answer.get('error')}"
        return answer["data"]

    async def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health."""
        async with self._http.get(f"{self._url}/api/v1/rules") as response:
            groups = (await response.json())["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def shows(self, query: Asked) -> bool:
        """Whether a panel's query has a value anywhere in the time since the test began."""
        now = time.time()
        expr = as_grafana(query.expr, now - self.began)
        if query.instant:
            return bool((await self.ask("query", query=expr))["result"])
        period = {"start": self.began, "end": now, "step": INTERVAL_SECONDS}
        result = (await self.ask("query_range", query=expr, **period))["result"]
        return any(value != "NaN" for series in result for _, value in series["values"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop_port() -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(sys.executable, str(SHOP), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    port = int(await asyncio.wait_for(process.stdout.readline(), 120))
    yield port
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 60) == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    options = DemoOptions(
        speed=SPEED, data=tmp_path_factory.mktemp("demo"), keep_data=False, ports=Ports.free(2)
    )
    # Nobody listens there, so that Alertmanager has something to report, too.
    nobody = "http://127.0.0.1:9/"
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    async with Demo(options, environ, say=lambda _: None, pace=PACE, webhook_url=nobody) as running:
        assert "Prometheus" in running.addresses, "Prometheus is needed: `midas setup` installs it"
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(demo: Demo, shop_port: int) -> AsyncIterator[Prometheus]:
    """Give the demo's Prometheus, told to watch the shop as well, after all the troubles."""
    config = demo.folder.place("config") / "prometheus.yml"
    document = yaml.safe_load(config.read_text("utf-8"))
    target = {"targets": [f"127.0.0.1:{shop_port}"], "labels": {"service": "shop"}}
    document["scrape_configs"].append({"job_name": "shop", "static_configs": [target]})
    config.write_text(yaml.safe_dump(document), "utf-8")
    child = demo.part("Prometheus").child
    child.send(signal.SIGHUP)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as http:
        served = Prometheus(http, demo.addresses["Prometheus"])
        for trouble in sorted(set(TROUBLES.values())):
            async with demo.faults.during(trouble):
                await _all_show(
                    served, [one for one in asked() if TROUBLES.get((one.board, one.panel)) == trouble]
                )
        yield served


async def test_every_panel_shows_something(prometheus: Prometheus):
    """Each query of each panel and annotation is answered, and has a value at some time of the run."""
    queries = list(asked())
    assert len(queries) > 100
    await _all_show(prometheus, queries)


async def test_every_exemplar_query_is_answered(prometheus: Prometheus):
    """What asks for the traces behind it gets an answer, too."""
    for query in asked():
        if query.exemplars:
            expr = as_grafana(query.expr, 60)
            await prometheus.ask("query_exemplars", query=expr, start=prometheus.began, end=time.time())


async def test_every_rule_is_evaluated(prometheus: Prometheus):
    """Every rule is loaded and was evaluated without an error, and its expression as it is written is answered."""
    evaluated = await prometheus.rules()
    written = [rule for path in FILES.rules for rule in _rules(path)]
    assert sorted(rule["name"] for rule in evaluated) == sorted(
        rule.get("alert") or rule["record"] for rule in written
    )
    assert {rule["name"]: rule.get("lastError") for rule in evaluated if rule["health"] != "ok"} == {}
    for rule in written:
        await prometheus.ask("query", query=rule["expr"])


async def test_the_table_of_troubles_is_true():
    """Every panel that is said to need a trouble is there."""
    panels = {(query.board, query.panel) for query in asked()}
    assert TROUBLES.keys() <= panels


async def _all_show(prometheus: Prometheus, waiting: list[Asked]) -> None:
    deadline = time.monotonic() + SHOWN_SECONDS
    while waiting:
        waiting = [query for query in waiting if not await prometheus.shows(query)]
        if waiting:
            assert time.monotonic() < deadline, "nothing to see in:\n" + "\n".join(map(str, waiting))
            await asyncio.sleep(1)


def _rules(path: Path) -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
        yield from group["rules"]
