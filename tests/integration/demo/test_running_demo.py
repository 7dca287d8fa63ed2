"""What a person may rely on while the demo runs: metrics, rules, logs, and tasks that survive everything."""

import asyncio
import json
import os
import shutil
import signal
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from midas.demo.accounting import read_account, read_notices
from midas.demo.kept import KeptProgram, KeptServer
from midas.queue import QueueKeys

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")

LOOK_SECONDS = 60.0

CARD = "4111 1111 1111 1111"
PASSWORD = "hunter2-and-a-half"
STATEMENT = (
    "Date,Description,Amount,Currency\n"
    f"2026-11-02,LIDL 1234 BERLIN CARD {CARD},-12.30,EUR\n"
    "2026-11-03,ZZYX QUUX 99,-7.00,EUR\n"
    f"2026-11-04,PAYMENT TO postgres://ada:{PASSWORD}@db.example/x,-3.00,EUR\n"
)


async def eventually(look: Callable[[], Awaitable[T]], what: str, seconds: float = 180.0) -> T:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not (seen := await look()):
        assert loop.time() < deadline, f"{what} did not come within {seconds:.0f} s"
        await asyncio.sleep(0.1)
    return seen


async def get(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        return await response.text()


def lines(path: Path) -> list[dict[str, Any]]:
    """Return what is written to the end; the program that writes goes on."""
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


async def test_every_metrics_page_is_what_prometheus_expects(stage):
    """Bot's and workers' pages parse with prometheus_client's parser and pass `promtool check metrics`."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is needed: `midas setup` installs it"
    for name, url in stage.demo.addresses.items():
        if not name.endswith("metrics"):
            continue
        text = await get(url)
        assert sum(1 for _ in text_string_to_metric_families(text)) > 20, name
        checking = await asyncio.create_subprocess_exec(
            promtool, "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=STDOUT
        )
        printed, _ = await checking.communicate(text.encode())
        assert checking.returncode == 0, f"{name}: {printed.decode()}"


async def test_prometheus_sees_every_process_and_evaluates_every_rule(stage):
    """Bot and workers are up, and no rule has an error."""
    prometheus = stage.demo.addresses["Prometheus"]

    async def targets_up() -> list[dict[str, Any]]:
        targets = json.loads(await get(f"{prometheus}/api/v1/targets"))["data"]["activeTargets"]
        midas = [target for target in targets if target["labels"]["job"].startswith("midas-")]
        return midas if all(target["health"] == "up" for target in midas) else []

    midas = await eventually(targets_up, "every target up")
    assert sorted(target["labels"]["job"] for target in midas) == [
        "midas-bot",
        "midas-worker",
        "midas-worker",
    ]

    async def rules_evaluated() -> list[dict[str, Any]]:
        groups = json.loads(await get(f"{prometheus}/api/v1/rules"))["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else []

    rules = await eventually(rules_evaluated, "an evaluation of every rule")
    assert len(rules) >= 7
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []


async def test_the_start_is_no_downtime(stage):
    """Prometheus begins once all of midas listens: a sample of `up` that is 0 would burn the error budget for hours."""
    prometheus = stage.demo.addresses["Prometheus"]
    ready = [line.partition(" ready in ")[0] for line in stage.said if " ready in " in line]
    assert ready.index("Prometheus") > max(ready.index(name) for name in ("bot", "worker-1", "worker-2"))

    async def lowest() -> list[float]:
        query = 'min_over_time(up{job=~"midas-.*"}[1h])'
        answer = json.loads(await get(f"{prometheus}/api/v1/query?query={quote(query)}"))["data"]["result"]
        return [float(series["value"][1]) for series in answer] if len(answer) == 3 else []

    assert await eventually(lowest, "a sample of every process", 90) == [1.0, 1.0, 1.0]


async def test_one_transaction_has_one_trace_and_one_user_in_bot_and_worker(stage):
    """The bot's line about the import and the worker's line about its task share trace_id and user_id."""
    user = stage.account(900_001)
    user.write("/start")
    assert await user.look(LOOK_SECONDS)
    user.send_document("november.csv", STATEMENT.encode())
    assert await user.look(LOOK_SECONDS)

    async def both_lines() -> tuple[dict[str, Any], dict[str, Any]] | None:
        bot = [line for line in lines(stage.log("bot")) if line.get("user_id") == 900_001]
        for name in ("worker-1", "worker-2"):
            for worker_line in lines(stage.log(name)):
                if worker_line.get("user_id") != 900_001 or not worker_line.get("task_id"):
                    continue
                for bot_line in bot:
                    if bot_line["trace_id"] == worker_line["trace_id"]:
                        return bot_line, worker_line
        return None

    bot_line, worker_line = await eventually(both_lines, "a common trace")
    assert bot_line["trace_id"] != "0" * 32
    assert bot_line["service"] != worker_line["service"]


async def test_the_demos_own_people_begin_sagas(stage):
    """Prometheus sees imports of theirs come to a good end, and every notice is told."""
    prometheus = stage.demo.addresses["Prometheus"]
    query = 'sum(saga_finished_total{saga="statement-import",outcome="completed"})'

    async def finished_sagas() -> float:
        answer = json.loads(await get(f"{prometheus}/api/v1/query?query={quote(query)}"))["data"]["result"]
        return float(answer[0]["value"][1]) if answer else 0.0

    assert await eventually(finished_sagas, "an import as a saga") >= 1

    async def all_told() -> bool:
        account = await read_notices(stage.demo.databases.urls["REDIS_URL"])
        return account.enqueued > 0 and account.lost == 0 and account.waiting == account.running == 0

    await eventually(all_told, "the last notice")


async def test_no_log_holds_a_secret(stage):
    """Neither token, API key, database passwords nor what users wrote of cards and passwords is in any log line."""
    user = stage.account(900_002)
    for text in (f"my card is {CARD}", f"postgres://ada:{PASSWORD}@db/x", "/correct 1 " + CARD):
        user.write(text)
        assert await user.look(LOOK_SECONDS)
    user.send_document("secret.csv", STATEMENT.encode())
    assert await user.look(LOOK_SECONDS)
    await eventually(lambda: finished(stage), "an idle queue")

    demo = stage.demo
    stores = demo.databases.urls
    secrets = [demo.access.telegram_token, demo.access.api_key, PASSWORD, CARD, CARD.replace(" ", "")]
    secrets += [url.partition("@")[0].rpartition(":")[2] for url in stores.values()]
    assert all(len(secret) > 8 for secret in secrets)
    logs = list(demo.folder.logs.iterdir())
    assert len(logs) > 5
    for log in logs:
        text = log.read_text(errors="replace")
        for secret in secrets:
            assert secret not in text, f"{log.name} holds {secret!r}"


async def test_every_line_of_every_log_is_one_json_object(stage):
    """What Promtail ships can be parsed, to the last line."""
    for log in stage.demo.folder.logs.glob("*.jsonl"):
        for fields in lines(log):
            assert {"timestamp", "level", "event", "service"} <= fields.keys(), f"{log.name}: {fields}"


async def test_an_outage_of_redis_loses_no_task_and_ends_no_process(stage):
    """Redis is killed with sixty tasks in it and comes back: every process still runs, every task gets done."""
    demo = stage.demo
    before = await read_account(demo.databases.urls["REDIS_URL"])
    pids = {part.name: part.child.pid for part in demo.keeper.parts if isinstance(part, KeptProgram)}
    await demo.faults.begin("backlog")  # so that the tasks are still there when Redis goes
    user = stage.account(900_003)
    user.send_document("many.csv", many_payments(60).encode())

    async def enqueued() -> bool:
        return (await read_account(demo.databases.urls["REDIS_URL"])).enqueued >= before.enqueued + 60

    await eventually(enqueued, "sixty tasks")
    async with demo.faults.during("redis-down"):
        await demo.faults.end("backlog")
        user.look_away()
        user.write("/balance")
        assert await user.look(LOOK_SECONDS), "the bot answers although Redis is away"
        await refused(demo.part("Redis"), demo.addresses["worker 1 metrics"])

    await eventually(lambda: finished(stage), "an idle queue")
    assert (await read_account(demo.databases.urls["REDIS_URL"])).lost == 0
    assert (await read_notices(demo.databases.urls["REDIS_URL"])).lost == 0
    assert pids == {part.name: part.child.pid for part in demo.keeper.parts if isinstance(part, KeptProgram)}
    connection = await asyncpg.connect(demo.databases.urls["DATABASE_URL"])
    undone = await connection.fetchval(
        "SELECT count(*) FROM transactions WHERE user_id = 900003 AND (category IS NULL OR category = 'Uncategorized')"
    )
    assert await connection.fetchval("SELECT count(*) FROM transactions WHERE user_id = 900003") == 60
    assert undone == 0
    await connection.close()


async def test_a_task_of_a_killed_worker_is_finished_by_another(stage):
    """A kill -9 in the middle of a task loses nothing: the other worker takes it over and finishes it."""
    demo = stage.demo
    redis = Redis.from_url(demo.databases.urls["REDIS_URL"])
    keys = {key.rpartition(":")[2]: key for key in QueueKeys("ai").places}

    async def running() -> tuple[str, str] | None:
        for task in await redis.zrange(keys["in_flight"], 0, -1):
            record = json.loads(await redis.hget(keys["records"], task))
            if record["deliveries"] == 1 and record["worker"].startswith("worker-"):
                return task.decode(), record["worker"]
        return None

    await demo.faults.begin("slow-ai")
    user = stage.account(900_004)
    user.send_document("strange.csv", many_payments(4, "QRXV WNDL").encode())
    task, name = await eventually(running, "a task in the middle")
    victim = demo.part(name)
    victim.held = True  # so that it is another worker, not the next one of this name
    os.kill(victim.child.pid, signal.SIGKILL)
    await demo.faults.end("slow-ai")

    async def outcome() -> bytes | None:
        return await redis.hget(keys["results"], task)

    assert await eventually(outcome, "the task's outcome")
    account = await read_account(demo.databases.urls["REDIS_URL"])
    assert account.lost == 0
    await redis.aclose()
    victim.held = False

    other = next(worker for worker in ("worker-1", "worker-2") if worker != name)
    done = [line for line in lines(stage.log(other)) if line.get("task_id") == task]
    assert any(line["event"] == "queue.task_finished" and line["outcome"] == "ok" for line in done)


async def finished(stage) -> bool:
    """Return whether no task waits and none runs."""
    account = await read_account(stage.demo.databases.urls["REDIS_URL"])
    return account.waiting == account.running == 0


async def refused(redis: KeptServer, metrics_url: str) -> None:
    """Wait until a worker has noticed that Redis is away."""
    assert not redis.alive

    async def noticed() -> bool:
        for line in (await get(metrics_url)).splitlines():
            if line.startswith("redis_connection_errors_total"):
                return float(line.split()[-1]) > 0
        return False

    await eventually(noticed, "a connection error")


def many_payments(count: int, shop: str = "LIDL FILIALE") -> str:
    """Return a statement with so many different payments."""
    rows = [f"2026-10-{day % 28 + 1:02},{shop} {day},-{day + 1}.25,EUR" for day in range(count)]
    return "\n".join(["Date,Description,Amount,Currency", *rows, ""])
