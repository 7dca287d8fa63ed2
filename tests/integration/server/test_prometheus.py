"""A real Prometheus and promtool are content with what they get."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from contextlib import asynccontextmanager

import aiohttp
from opentelemetry.sdk.trace import TracerProvider

from botmetry import LogSettings, Telemetry
from botmetry.server import Serving
from botmetry.settings import ServerSettings
from midas.demo.ports import free_port


def program(name):
    path = shutil.which(name)
    assert path, f"{name} is not on the PATH, so this cannot be tested; on Debian: apt install prometheus"
    return path


@asynccontextmanager
async def prometheus(folder, target, token):
    """Run Prometheus, scraping `target` every second, and give the address of its API."""
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {"job_name": "bot", "bearer_token": token, "static_configs": [{"targets": [target]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    running = await asyncio.create_subprocess_exec(
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        running.send_signal(signal.SIGTERM)
        await running.wait()


async def answer(http, url, **params):
    """Return the result of a query, nothing while Prometheus is not there yet."""
    try:
        async with http.get(url, params=params, headers={"Accept-Encoding": "identity"}) as response:
            data = (await response.json())["data"]
    except (aiohttp.ClientError, KeyError):
        return []
    return data["result"] if isinstance(data, dict) else data


async def until(ask, seconds=60.0):
    """Return the first answer that is not empty."""
    async with asyncio.timeout(seconds):
        while not (found := await ask()):
            await asyncio.sleep(0.1)
    return found


async def test_prometheus_scrapes_it(http, tmp_path):
    """Prometheus finds the target up, stores its counters, and its exemplars with the trace of the request."""
    telemetry = Telemetry("shop-bot", log=LogSettings(output="none"), tracer_provider=TracerProvider())
    with telemetry.bot.command("balance"):
        telemetry.bot.update("message")
    async with (
        Serving(telemetry, ServerSettings(port=0, bearer_token="s3cret")) as server,
        prometheus(tmp_path, server.url.removeprefix("http://"), "s3cret") as api,
    ):
        counted = await until(lambda: answer(http, api + "/query", query="bot_requests_total > 0"))
        (up,) = await answer(http, api + "/query", query="up")
        asked = {"query": "bot_request_duration_seconds_bucket", "start": "0", "end": "4102444800"}
        exemplars = await until(lambda: answer(http, api + "/query_exemplars", **asked))
    telemetry.close()

    assert up["value"][1] == "1"
    assert [(sample["metric"]["command"], sample["value"][1]) for sample in counted] == [("balance", "1")]
    assert len(exemplars[0]["exemplars"][0]["labels"]["trace_id"]) == 32


async def test_promtool_finds_nothing_wrong(http, serving, telemetry):
    """`promtool check metrics` accepts the text exposition of every family."""
    with telemetry.bot.command("balance"), telemetry.ai.task("categorize", "model"):
        telemetry.redis.connection_error()
    async with (
        serving() as server,
        http.get(server.url + "/metrics", headers={"Accept-Encoding": ""}) as response,
    ):
        text = await response.read()
    checking = await asyncio.create_subprocess_exec(
        program("promtool"), "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await checking.communicate(text)

    assert (checking.returncode, output.decode()) == (0, "")
